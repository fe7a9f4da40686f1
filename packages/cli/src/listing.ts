/** Prints a list as Docker does: aligned columns, one JSON value a line, or ids alone. */
import { BulkheadError } from '@bulkhead/contract/errors';
import type { Flag } from './command.ts';
import type { Values } from './flags.ts';
import { escapeControl } from './terminal.ts';

export const LIST_FLAGS: readonly Flag[] = [
  { name: 'format', kind: 'text', choices: ['table', 'json'], meaning: 'Table, or one JSON value a line' },
  { name: 'quiet', short: 'q', kind: 'switch', meaning: 'Only ids or names' },
];
export const NO_TRUNC: Flag = { name: 'no-trunc', kind: 'switch', meaning: 'Do not shorten ids and commands' };

export interface Column<Row> {
  title: string;
  value(row: Row): string;
}

export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string[] {
  const cells = [
    columns.map((column) => column.title),
    ...rows.map((row) => columns.map((column) => escapeControl(column.value(row)))),
  ];
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => [...line[index]!].length)));
  return cells.map((line) =>
    line
      .map((cell, index) => cell + ' '.repeat(widths[index]! - [...cell].length))
      .join('   ')
      .trimEnd(),
  );
}

export function printList<Row>(
  flags: Values,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  quiet: (row: Row) => string,
): void {
  let lines: string[];
  if (flags.text('format') === 'json') lines = rows.map((row) => JSON.stringify(row));
  else if (flags.on('quiet')) lines = rows.map((row) => escapeControl(quiet(row)));
  else lines = formatTable(columns, rows);
  if (lines.length > 0) process.stdout.write(`${lines.join('\n')}\n`);
}

/** `sha256:0123…` or a plain id to its first 12 digits. */
export function shortId(id: string, full = false): string {
  return full ? id : id.replace(/^sha256:/, '').slice(0, 12);
}

/** `key=value` filters, checked against the keys a list knows. */
export function parseFilters(texts: readonly string[], known: readonly string[]): string[] {
  for (const text of texts) {
    const key = text.split('=', 1)[0]!;
    if (!text.includes('=') || !known.includes(key))
      throw new BulkheadError('usage', `invalid filter "${text}"`, { hint: `Use KEY=VALUE with ${known.join(', ')}.` });
  }
  return [...texts];
}

/** Filters of lists that the engine gives whole: same key, any value; different keys, all. */
export function filterRows<Row>(
  rows: readonly Row[],
  texts: readonly string[],
  tests: Record<string, (row: Row, value: string) => boolean>,
): Row[] {
  const byKey = new Map<string, string[]>();
  for (const text of parseFilters(texts, Object.keys(tests))) {
    const at = text.indexOf('=');
    const key = text.slice(0, at);
    byKey.set(key, [...(byKey.get(key) ?? []), text.slice(at + 1)]);
  }
  return rows.filter((row) =>
    [...byKey].every(([key, values]) =>
      key === 'label'
        ? values.every((value) => tests[key]!(row, value))
        : values.some((value) => tests[key]!(row, value)),
    ),
  );
}

export function hasLabel(labels: Record<string, string>, wanted: string): boolean {
  const [key, ...value] = wanted.split('=');
  return Object.hasOwn(labels, key!) && (!wanted.includes('=') || labels[key!] === value.join('='));
}

export const FILTER: Flag = {
  name: 'filter',
  short: 'f',
  kind: 'list',
  value: 'KEY=VALUE',
  meaning: 'Only what fits',
};

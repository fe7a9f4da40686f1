/** Writes docs/errors.md from the contract's registry of error codes; `--check` only tells whether the file is current. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ERRORS, type ErrorKind } from '@bulkhead/contract';

const HEAD = `# Errors

Every error has a code. The API answers with \`{"code", "message", "hint"}\` (and \`"at": "FILE:LINE:COLUMN"\` where a file of yours is
at fault) and the HTTP status below; the CLI prints message and hint and ends with the exit code below, as Docker does: 125 the
engine refused or failed, 126 the command cannot be run, 127 it is not there, 1 anything else. A message says what happened to
which thing; the hint is the way out.

<!-- Made by scripts/errors-doc.ts from packages/contract/src/errors.ts; do not edit. -->

| code | HTTP | exit | meaning | way out |
|---|---|---|---|---|
`;

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

function page(): string {
  const rows = Object.entries<ErrorKind>(ERRORS)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([code, { status, exit, meaning, fix }]) =>
        `| \`${code}\` | ${status} | ${exit} | ${cell(meaning)} | ${cell(fix)} |`,
    );
  return `${HEAD}${rows.join('\n')}\n`;
}

const words = process.argv.slice(2);
const check = words.includes('--check');
const [file = path.resolve(import.meta.dirname, '../docs/errors.md')] = words.filter((word) => word !== '--check');

function current(): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

if (!check) writeFileSync(file, page());
else if (current() !== page()) {
  console.error(`${file} is stale; run: node scripts/errors-doc.ts`);
  process.exitCode = 1;
}

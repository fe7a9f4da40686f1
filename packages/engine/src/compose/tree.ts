/** A Compose file as data that remembers where every key and value was written. Pure. */
import { BulkheadError, type ErrorCode } from '@bulkhead/contract';

/** Where something is written; lines and columns begin with 1. */
export interface Place {
  /** As shown to the user. */
  file: string;
  line: number;
  column: number;
}

/** What a YAML tag of Compose asks a merge to do with the value it overrides. */
export type Mark = 'reset' | 'override';

export interface Entry {
  keyAt: Place;
  value: Tree;
}
export interface MapTree {
  kind: 'map';
  at: Place;
  entries: Map<string, Entry>;
  mark?: Mark;
}
export interface ListTree {
  kind: 'list';
  at: Place;
  items: Tree[];
  mark?: Mark;
}
export interface ScalarTree {
  kind: 'scalar';
  at: Place;
  value: string | number | boolean | null;
  /** As written, where it is a number: `0440` is octal to Compose. */
  written?: string;
  mark?: Mark;
  /** The place of a character of the value. */
  inside?: (index: number) => Place;
}
export type Tree = MapTree | ListTree | ScalarTree;

export function placeText({ file, line, column }: Place): string {
  return `${file}:${line}:${column}`;
}

export function refuse(at: Place, message: string, hint?: string, code: ErrorCode = 'compose_invalid'): never {
  throw new BulkheadError(code, message, { at: placeText(at), ...(hint === undefined ? {} : { hint }) });
}

export function scalar(at: Place, value: ScalarTree['value']): ScalarTree {
  return { kind: 'scalar', at, value };
}

export function map(at: Place, entries: Iterable<readonly [string, Tree]> = []): MapTree {
  return { kind: 'map', at, entries: new Map([...entries].map(([key, value]) => [key, { keyAt: value.at, value }])) };
}

export function list(at: Place, items: Tree[]): ListTree {
  return { kind: 'list', at, items };
}

/** Null counts as absent, as in Compose. */
export function get(tree: Tree | undefined, key: string): Tree | undefined {
  if (tree?.kind !== 'map') return undefined;
  const value = tree.entries.get(key)?.value;
  return value === undefined || isNull(value) ? undefined : value;
}

export function isNull(tree: Tree): boolean {
  return tree.kind === 'scalar' && tree.value === null;
}

export function entriesOf(tree: Tree | undefined): [string, Entry][] {
  return tree?.kind === 'map' ? [...tree.entries] : [];
}

export function itemsOf(tree: Tree | undefined): Tree[] {
  return tree === undefined || isNull(tree) ? [] : tree.kind === 'list' ? tree.items : [tree];
}

export function textOf(tree: Tree | undefined): string | undefined {
  return tree?.kind === 'scalar' && tree.value !== null ? (tree.written ?? String(tree.value)) : undefined;
}

/** A number that reads differently as text (`3.10`, `0440`) stays as it was written, as text. */
export function plain(tree: Tree): unknown {
  if (tree.kind === 'scalar')
    return tree.written === undefined || tree.written === String(tree.value) ? tree.value : tree.written;
  if (tree.kind === 'list') return tree.items.map(plain);
  return Object.fromEntries([...tree.entries].map(([key, { value }]) => [key, plain(value)]));
}

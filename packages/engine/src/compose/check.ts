/** A tree against the schema: the first mistake is refused at its place, with what was expected and the nearest right word. */
import { didYouMean } from '../policy/suggestion.ts';
import { type Place, refuse, type Tree } from './tree.ts';

interface Schema {
  type?: string;
  anyOf?: Schema[];
  enum?: unknown[];
  const?: unknown;
  pattern?: string;
  properties?: Record<string, Schema>;
  patternProperties?: Record<string, Schema>;
  additionalProperties?: boolean | Schema;
  required?: string[];
  items?: Schema;
  'x-refused'?: string;
  'x-no-effect'?: string;
  'x-names'?: boolean;
}

export type Warn = (at: Place, message: string) => void;

const WORDS: Record<string, string> = {
  object: 'a mapping',
  array: 'a list',
  string: 'text',
  number: 'a number',
  boolean: 'true or false',
};

/** `what` names the value in messages, e.g. `services.web.ports`. */
export function checkTree(tree: Tree, schema: object, what: string, warn: Warn): void {
  check(tree, schema as Schema, what, warn);
}

function check(tree: Tree, schema: Schema, what: string, warn: Warn): void {
  if (schema['x-no-effect'] !== undefined) warn(tree.at, `${what} has no effect: ${schema['x-no-effect']}`);
  if (tree.mark === 'reset') return;
  if (schema.anyOf) {
    const fitting = flat(schema).filter((branch) => fits(tree, branch));
    const [branch] = fitting;
    if (!branch) mismatch(tree, flat(schema), what);
    // Of several scalar types any is enough; of enumerations one must hold the word.
    if (tree.kind !== 'scalar') {
      check(tree, branch, what, warn);
      return;
    }
    if (fitting.some((one) => one.enum === undefined && one.pattern === undefined)) return;
    if (fitting.some((one) => one.enum?.includes(tree.value))) return;
    check(tree, branch, what, warn);
    return;
  }
  if (schema.type === undefined && schema.enum === undefined) return;
  if (!fits(tree, schema)) mismatch(tree, [schema], what);
  if (tree.kind === 'list') {
    for (const [index, item] of tree.items.entries()) check(item, schema.items ?? {}, `${what}[${index}]`, warn);
  } else if (tree.kind === 'map') checkMap(tree, schema, what, warn);
  else checkScalar(tree.at, String(tree.value), schema, what);
}

function checkScalar(at: Place, value: string, schema: Schema, what: string): void {
  if (schema.enum && !schema.enum.includes(value)) {
    const words = schema.enum.map(String);
    refuse(
      at,
      `${what} cannot be ${JSON.stringify(value)}${didYouMean(value, words)}`,
      `It is one of ${words.join(', ')}.`,
    );
  }
  if (schema.pattern !== undefined && !new RegExp(schema.pattern).test(value)) {
    const simple = /^\^\(([a-z_|-]+)/.exec(schema.pattern.replace(/\(:\[0-9\]\+\)\?/, ''))?.[1]?.split('|');
    refuse(
      at,
      `${what} cannot be ${JSON.stringify(value)}${simple ? didYouMean(value, simple) : ''}`,
      simple
        ? `It is one of ${simple.filter((word) => !word.endsWith('_')).join(', ')}.`
        : `It must match ${schema.pattern}.`,
    );
  }
}

function checkMap(tree: Tree & { kind: 'map' }, schema: Schema, what: string, warn: Warn): void {
  for (const [key, { keyAt, value }] of tree.entries) {
    // A key like `constructor` is no key of the schema, whatever JavaScript says.
    const property = schema.properties && Object.hasOwn(schema.properties, key) ? schema.properties[key] : undefined;
    const path = what === '' ? key : `${what}.${key}`;
    const reason = property?.['x-refused'];
    if (reason !== undefined) {
      refuse(keyAt, `${path} is not supported`, reason[0]!.toUpperCase() + reason.slice(1), 'compose_unsupported');
    }
    if (property) check(value, property, path, (at, message) => warn(at === value.at ? keyAt : at, message));
    else if (schema.patternProperties) {
      const pattern = Object.keys(schema.patternProperties).find((one) => new RegExp(one).test(key));
      if (pattern === undefined) unknownKey(keyAt, key, schema, what);
      check(value, schema.patternProperties[pattern] ?? {}, path, warn);
    } else if (typeof schema.additionalProperties === 'object') check(value, schema.additionalProperties, path, warn);
  }
  for (const key of schema.required ?? []) {
    if (!tree.entries.has(key)) refuse(tree.at, `${what} lacks ${key}`, `Add \`${key}:\`.`);
  }
}

function unknownKey(at: Place, key: string, schema: Schema, what: string): never {
  if (schema['x-names'])
    refuse(at, `${JSON.stringify(key)} cannot be a name in ${what}`, 'Use letters, digits, _, . and -.');
  const words = Object.keys(schema.properties ?? {});
  const where = what === '' ? 'at the top of a Compose file' : `in ${what}`;
  const near = didYouMean(key, words);
  refuse(
    at,
    `there is no key ${JSON.stringify(key)} ${where}${near}`,
    near === ''
      ? `Known here: ${words.join(', ')}. Keys of your own begin with x-.`
      : 'Correct it; keys of your own begin with x-.',
  );
}

function flat(schema: Schema): Schema[] {
  return schema.anyOf ? schema.anyOf.flatMap(flat) : [schema];
}

function fits(tree: Tree, schema: Schema): boolean {
  if (schema.type === undefined && schema.enum === undefined && schema.const === undefined) return true;
  if (tree.kind === 'map') return schema.type === 'object';
  if (tree.kind === 'list') return schema.type === 'array';
  if (tree.value === null) return schema.type === 'null';
  if (schema.enum) return true;
  return typeof tree.value === schema.type;
}

function mismatch(tree: Tree, branches: Schema[], what: string): never {
  const wanted = [
    ...new Set(branches.map((branch) => (branch.enum ? 'text' : (WORDS[branch.type ?? ''] ?? '')))),
  ].filter((word) => word !== '');
  const scalar = tree.kind === 'scalar';
  const found =
    tree.kind === 'map'
      ? 'a mapping'
      : tree.kind === 'list'
        ? 'a list'
        : tree.value === null
          ? 'empty'
          : JSON.stringify(tree.value);
  const last = wanted.pop() ?? 'something else';
  const expected = wanted.length > 0 ? `${wanted.join(', ')} or ${last}` : last;
  const hint =
    scalar && last === 'a list'
      ? 'Write a list: each item on a line of its own, after "- ".'
      : `Write ${expected} here.`;
  refuse(tree.at, `${what === '' ? 'a Compose file' : what} is ${found}, but it takes ${expected}`, hint);
}

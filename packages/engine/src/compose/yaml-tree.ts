/** YAML text to a tree with places: anchors, aliases and merge keys are resolved, `!reset` and `!override` are kept as marks. */
import { type Alias, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type Scalar } from 'yaml';
import { Positions } from '../policy/position.ts';
import { type Entry, type MapTree, type Mark, type Place, placeText, refuse, type Tree } from './tree.ts';

const MAX_CHARACTERS = 4 << 20;
/** Aliases multiply: beyond this a file is an attack or a mistake. */
const MAX_NODES = 200_000;
const MAX_DEPTH = 64;
const MARKS: Record<string, Mark> = { '!reset': 'reset', '!override': 'override' };

export function parseYaml(file: string, text: string): Tree {
  return new YamlReader(file, text).read();
}

class YamlReader {
  readonly #file: string;
  readonly #text: string;
  readonly #lines = new LineCounter();
  readonly #positions: Positions;
  readonly #document: ReturnType<typeof parseDocument>;
  #count = 0;

  constructor(file: string, text: string) {
    this.#file = file;
    this.#text = text;
    this.#positions = new Positions(file, text, this.#lines);
    if (text.length > MAX_CHARACTERS) refuse(this.#at(0), `the file is longer than ${MAX_CHARACTERS} characters`);
    this.#document = this.#parsed(text);
  }

  #parsed(text: string): ReturnType<typeof parseDocument> {
    try {
      return parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, uniqueKeys: false });
    } catch (error) {
      // Thousands of brackets exhaust the parser's stack before its own limits do.
      if (!(error instanceof RangeError)) throw error;
      return this.#tooDeep();
    }
  }

  #tooDeep(): never {
    return refuse(this.#at(0), `this is nested more than ${MAX_DEPTH} deep`, 'Close the brackets.');
  }

  read(): Tree {
    const mistake =
      this.#document.errors[0] ?? this.#document.warnings.find((warning) => warning.code !== 'TAG_RESOLVE_FAILED');
    if (mistake?.code === 'MULTIPLE_DOCS') {
      refuse(
        this.#at(mistake.pos[0]),
        'a second YAML document begins here',
        'Put it into a file of its own and name both with -f.',
      );
    }
    if (mistake?.message.startsWith('Maximum call stack')) this.#tooDeep();
    if (mistake) {
      const tab = this.#text.slice(mistake.pos[0]).startsWith('\t') || mistake.code === 'TAB_AS_INDENT';
      refuse(
        this.#at(mistake.pos[0]),
        `this is not valid YAML: ${mistake.message.split('\n')[0]}`,
        tab
          ? 'Indent with spaces: YAML does not take tabs.'
          : 'Correct the indentation, quotes or brackets at this place.',
      );
    }
    const root = this.#document.contents as Node | null;
    if (root === null) refuse(this.#at(0), 'the file is empty', 'Write at least `services:` with one service in it.');
    return this.#tree(root, 0);
  }

  #at(offset: number): Place {
    const { line, col } = this.#lines.linePos(offset);
    return { file: this.#file, line: Math.max(line, 1), column: Math.max(col, 1) };
  }

  #inside(node: Scalar, index: number): Place {
    const [, line = '1', column = '1'] =
      /:(\d+):(\d+)$/.exec(this.#positions.inside(node as Scalar<string>, index)) ?? [];
    return { file: this.#file, line: Number(line), column: Number(column) };
  }

  #tree(node: Node | null | undefined, depth: number): Tree {
    const at = this.#at(node?.range?.[0] ?? 0);
    if (++this.#count > MAX_NODES)
      refuse(
        at,
        `the file has more than ${MAX_NODES} values once its aliases are resolved`,
        'Use fewer aliases of aliases.',
      );
    if (depth > MAX_DEPTH)
      refuse(at, `this is nested more than ${MAX_DEPTH} deep`, 'An anchor must not hold an alias of itself.');
    if (isAlias(node)) return this.#tree(this.#target(node, at), depth + 1);
    const mark = this.#mark(node, at);
    if (isMap(node)) return { ...this.#map(node.items, at, depth), ...mark };
    if (isSeq(node))
      return { kind: 'list', at, items: node.items.map((item) => this.#tree(item as Node, depth + 1)), ...mark };
    if (!isScalar(node)) return { kind: 'scalar', at, value: null };
    const { value, source } = node;
    if (typeof value === 'string')
      return { kind: 'scalar', at, value, inside: (index) => this.#inside(node, index), ...mark };
    if (typeof value === 'number')
      return { kind: 'scalar', at, value, ...(source === undefined ? {} : { written: source }), ...mark };
    return {
      kind: 'scalar',
      at,
      value: typeof value === 'boolean' ? value : value === null ? null : String(value),
      ...mark,
    };
  }

  #target(alias: Alias, at: Place): Node {
    const target = alias.resolve(this.#document);
    if (!target)
      refuse(at, `there is no anchor &${alias.source} before this`, `Define it with &${alias.source} above.`);
    return target;
  }

  #mark(node: Node | null | undefined, at: Place): { mark?: Mark } {
    const tag = node && 'tag' in node ? node.tag : undefined;
    if (tag === undefined || tag.startsWith('tag:yaml.org,2002:')) return {};
    const mark = MARKS[tag];
    if (!mark) refuse(at, `there is no tag ${tag} in Compose`, 'Compose knows !reset and !override.');
    return { mark };
  }

  #map(pairs: { key: unknown; value: unknown }[], at: Place, depth: number): MapTree {
    const entries = new Map<string, Entry>();
    const merged = new Map<string, Entry>();
    for (const { key, value } of pairs) {
      const keyNode = isAlias(key) ? key.resolve(this.#document) : key;
      const keyAt = this.#at((key as Node | null)?.range?.[0] ?? 0);
      if (!isScalar(keyNode)) refuse(keyAt, 'a key is a word, not a list or mapping');
      const name =
        keyNode.value === null
          ? ''
          : typeof keyNode.value === 'string'
            ? keyNode.value
            : (keyNode.source ?? String(keyNode.value));
      if (name === '<<') {
        for (const source of this.#mergeSources(value as Node, keyAt, depth))
          for (const [inner, entry] of source.entries) if (!merged.has(inner)) merged.set(inner, entry);
        continue;
      }
      const first = entries.get(name);
      if (first)
        refuse(
          keyAt,
          `the key ${JSON.stringify(name)} is already given at ${placeText(first.keyAt)}`,
          'Keep one of the two.',
        );
      const tree = this.#tree(value as Node | null, depth + 1);
      entries.set(name, { keyAt, value: value === null ? { ...tree, at: keyAt } : tree });
    }
    for (const [name, entry] of merged) if (!entries.has(name)) entries.set(name, entry);
    return { kind: 'map', at, entries };
  }

  #mergeSources(node: Node, keyAt: Place, depth: number): MapTree[] {
    const tree = this.#tree(node, depth + 1);
    const sources = tree.kind === 'list' ? tree.items : [tree];
    return sources.map((source) =>
      source.kind === 'map'
        ? source
        : refuse(
            keyAt,
            '<< takes a mapping or a list of mappings',
            'Write << : *anchor, where the anchor is on a mapping.',
          ),
    );
  }
}

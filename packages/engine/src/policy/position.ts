/** From a place in a YAML text, or in a string written in it, to `file:line:column`. Pure. */
import type { LineCounter, Scalar } from 'yaml';

const ESCAPE_DIGITS: Record<string, number> = { x: 2, u: 4, U: 8 };

export class Positions {
  readonly file: string;
  readonly #text: string;
  readonly #lines: LineCounter;

  constructor(file: string, text: string, lines: LineCounter) {
    this.file = file;
    this.#text = text;
    this.#lines = lines;
  }

  /** `offset` in UTF-16 units from the start of the text. */
  at(offset: number): string {
    const { line, col } = this.#lines.linePos(offset);
    return `${this.file}:${Math.max(line, 1)}:${Math.max(col, 1)}`;
  }

  /** Where the character `index` of a scalar's value stands in the file, whatever way the scalar is quoted. */
  inside(scalar: Scalar<string>, index: number): string {
    const [start = 0, end = 0] = scalar.range ?? [];
    const raw = this.#text.slice(start, end);
    return this.at(start + this.#rawIndex(scalar, raw, index));
  }

  #rawIndex(scalar: Scalar<string>, raw: string, index: number): number {
    switch (scalar.type) {
      case 'QUOTE_DOUBLE':
        return raw.includes('\n') ? 0 : indexInDoubleQuotes(raw, index);
      case 'QUOTE_SINGLE':
        return raw.includes('\n') ? 0 : indexInSingleQuotes(raw, index);
      case 'BLOCK_LITERAL':
        return indexInBlock(raw, scalar.value, index);
      default:
        // A folded text has no place of its own for every character: its beginning has to do.
        return raw.startsWith(scalar.value) ? index : 0;
    }
  }
}

function indexInDoubleQuotes(raw: string, index: number): number {
  let at = 1;
  for (let seen = 0; seen < index && at < raw.length - 1; seen++) {
    at += raw[at] === '\\' ? 2 + (ESCAPE_DIGITS[raw[at + 1] ?? ''] ?? 0) : 1;
  }
  return at;
}

function indexInSingleQuotes(raw: string, index: number): number {
  let at = 1;
  for (let seen = 0; seen < index && at < raw.length - 1; seen++) at += raw.startsWith("''", at) ? 2 : 1;
  return at;
}

/** After `|`: every line of the value is a line of the text, indented. */
function indexInBlock(raw: string, value: string, index: number): number {
  const before = value.slice(0, index).split('\n');
  const header = raw.indexOf('\n') + 1;
  const rawLines = raw.slice(header).split('\n');
  const line = before.length - 1;
  const written = rawLines[line] ?? '';
  const indent = written.length - (value.split('\n')[line] ?? '').length;
  const start = rawLines.slice(0, line).reduce((sum, text) => sum + text.length + 1, header);
  return start + Math.max(indent, 0) + (before[line]?.length ?? 0);
}

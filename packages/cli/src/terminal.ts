/** Text that comes from tasks, images and networks, made safe for a terminal; and lines that are redrawn in place. */

/** C0, DEL, C1, and the marks that reorder or hide text. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that must not get through.
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** Shows control characters as `\x1b` or `\u202e`; `keep` lists those that may stay. */
export function escapeControl(text: string, keep = ''): string {
  return text.replace(UNSAFE, (char) => {
    if (keep.includes(char)) return char;
    if (char === '\n') return '\\n';
    if (char === '\t') return '\\t';
    if (char === '\r') return '\\r';
    const code = char.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** A block of lines at the bottom of a terminal that is drawn over itself. */
export class LiveBlock {
  readonly #out: NodeJS.WriteStream;
  #height = 0;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
  }

  draw(lines: string[]): void {
    const columns = this.#out.columns || 80;
    const rows = Math.max(1, (this.#out.rows || 24) - 1);
    const heights = lines.map((line) => Math.max(1, Math.ceil([...line].length / columns)));
    // What has scrolled off cannot be drawn over: the first lines give way.
    let first = lines.length;
    let height = 0;
    while (first > 0 && height + heights[first - 1]! <= rows) height += heights[--first]!;
    const up = this.#height > 0 ? `\x1b[${this.#height}A` : '';
    this.#out.write(
      `${up}\r\x1b[J${lines
        .slice(first)
        .map((line) => `${line}\n`)
        .join('')}`,
    );
    this.#height = height;
  }
}

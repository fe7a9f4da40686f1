/** The text of a `.env` or `env_file` to variables, every mistake with its place. It opens no file. */
import { interpolate } from './interpolation.ts';
import { type Place, refuse } from './tree.ts';

export interface EnvironmentFileOptions {
  /** Lines are NAME=VALUE as they stand: no quotes, no variables. */
  raw: boolean;
  /** What a variable in a value, or a name without a value, refers to. */
  variables: Readonly<Record<string, string>>;
  unset: (name: string, at: Place) => void;
}

const LINE = /^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*(?:([=:])[ \t]*)?/;
const ESCAPES: Record<string, string> = { n: '\n', r: '\r', t: '\t', '"': '"', '\\': '\\', $: '$$', "'": "'" };

export function parseEnvironmentFile(
  file: string,
  text: string,
  options: EnvironmentFileOptions,
): Record<string, string> {
  const found: Record<string, string> = {};
  const clean = text.replace(/^\uFEFF/, '').replaceAll('\r\n', '\n');
  const lines = clean.split('\n');
  for (let number = 0; number < lines.length; number++) {
    const line = lines[number]!;
    if (/^[ \t]*(#|$)/.test(line)) continue;
    const at = (index: number): Place => ({ file, line: number + 1, column: index + 1 });
    const head = LINE.exec(line);
    if (!head)
      refuse(
        at(line.search(/[^ \t]/)),
        `${JSON.stringify(line.slice(0, 40))} is not NAME=VALUE`,
        'A name is letters, digits and _, beginning with a letter; comments begin with #.',
      );
    const name = head[1]!;
    const start = head[0].length;
    if (head[2] === undefined) {
      if (start < line.length && !/^\s*#/.test(line.slice(start)))
        refuse(at(start), `after the name ${name} comes =`, `Write ${name}=VALUE.`);
      const inherited = Object.hasOwn(options.variables, name) ? options.variables[name] : undefined;
      if (inherited !== undefined) found[name] = inherited;
      continue;
    }
    if (options.raw) {
      found[name] = line.slice(line.indexOf(head[2]) + 1);
      continue;
    }
    const scope = { ...found, ...options.variables };
    const expand = (value: string, offset: number): string =>
      interpolate(value, {
        variables: scope,
        fail: (index, message, hint) => refuse(at(offset + index), message, hint),
        unset: (missing, index) => options.unset(missing, at(offset + index)),
      });
    const quote = line[start];
    if (quote !== '"' && quote !== "'") {
      const value = line
        .slice(start)
        .replace(/(^|[ \t])#.*$/, '')
        .trimEnd();
      found[name] = expand(value, start);
      continue;
    }
    const opened = at(start);
    let body = line.slice(start + 1);
    let end = closing(body, quote);
    while (end < 0) {
      if (++number >= lines.length)
        refuse(opened, `the quote ${quote} of ${name} is not closed`, `Add the missing ${quote}.`);
      body += `\n${lines[number]}`;
      end = closing(body, quote);
    }
    const rest = body.slice(end + 1);
    if (!/^\s*(#|$)/.test(rest))
      refuse(
        { ...opened, line: number + 1 },
        `text follows the closing quote of ${name}`,
        'Quote the whole value, or begin a comment with #.',
      );
    const inner = body.slice(0, end);
    found[name] =
      quote === "'"
        ? inner
        : expand(
            inner.replace(/\\(.)/gs, (whole, one: string) => ESCAPES[one] ?? whole),
            start + 1,
          );
  }
  return found;
}

function closing(text: string, quote: string): number {
  for (let index = 0; index < text.length; index++) {
    if (text[index] === '\\' && quote === '"') index++;
    else if (text[index] === quote) return index;
  }
  return -1;
}

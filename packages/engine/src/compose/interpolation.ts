/** Variables in text as Compose writes them: `$A ${A} ${A:-b} ${A-b} ${A:?e} ${A?e} ${A:+r} ${A+r} $$`, nested. It reads no environment. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is Compose's own syntax.

export interface Interpolation {
  variables: Readonly<Record<string, string>>;
  /** Called at the character of the text that is wrong. */
  fail: (index: number, message: string, hint: string) => never;
  /** A variable that is not set became nothing. */
  unset: (name: string, index: number) => void;
}

const MAX_DEPTH = 64;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*/;
const OPERATOR = /^(:-|:\?|:\+|-|\?|\+)/;

export function interpolate(text: string, options: Interpolation): string {
  if (!text.includes('$')) return text;
  const reader = new Reader(text, options);
  return reader.text(false, true);
}

class Reader {
  readonly #text: string;
  readonly #options: Interpolation;
  #at = 0;
  #depth = 0;

  constructor(text: string, options: Interpolation) {
    this.#text = text;
    this.#options = options;
  }

  /** To the end, or to the closing brace. What is not `live` is read over: its variables are neither asked for nor required. */
  text(inBraces: boolean, live: boolean): string {
    let out = '';
    while (this.#at < this.#text.length) {
      const character = this.#text[this.#at]!;
      if (character === '}' && inBraces) return out;
      if (character === '$') out += this.#dollar(live);
      else {
        out += character;
        this.#at++;
      }
    }
    return out;
  }

  #dollar(live: boolean): string {
    const start = this.#at++;
    const next = this.#text[this.#at];
    if (next === '$') {
      this.#at++;
      return '$';
    }
    if (next === '{') return this.#braced(start, live);
    const name = this.#match(NAME);
    if (name === undefined) {
      const shown = JSON.stringify(this.#text.slice(start, start + 2));
      this.#options.fail(
        start,
        `${shown} begins no variable`,
        'Write $$ for a dollar sign, $NAME or ${NAME} for a variable.',
      );
    }
    return live ? this.#value(name, start) : '';
  }

  #braced(start: number, live: boolean): string {
    if (++this.#depth > MAX_DEPTH)
      this.#options.fail(
        start,
        `variables are nested more than ${MAX_DEPTH} deep`,
        'Give a value of its own to a part.',
      );
    const value = this.#variable(start, live);
    this.#depth--;
    return value;
  }

  #variable(start: number, live: boolean): string {
    this.#at++;
    const name = this.#match(NAME);
    if (name === undefined) {
      this.#options.fail(
        start,
        'after ${ comes the name of a variable',
        'A name is letters, digits and _; write $$ for a dollar sign.',
      );
    }
    const operator = this.#match(OPERATOR) ?? '';
    const { variables } = this.#options;
    const set = Object.hasOwn(variables, name);
    const filled = operator.startsWith(':') ? set && variables[name] !== '' : set;
    const kind = operator.at(-1);
    if (kind === undefined && this.#at < this.#text.length && this.#text[this.#at] !== '}') {
      const shown = JSON.stringify(this.#text[this.#at]);
      this.#options.fail(
        this.#at,
        `${shown} cannot follow the name ${name} here`,
        'Use ${NAME}, ${NAME:-default}, ${NAME:?message} or ${NAME:+instead}.',
      );
    }
    const wordIsUsed = live && (kind === '+' ? filled : kind !== undefined && !filled);
    const word = kind === undefined ? '' : this.text(true, wordIsUsed);
    if (this.#text[this.#at] !== '}') this.#options.fail(start, 'the brace of ${ is not closed', 'Add the missing }.');
    this.#at++;
    if (!live) return '';
    if (kind === '?' && !filled) {
      const state = set ? 'is empty' : 'is not set';
      this.#options.fail(
        start,
        `the variable ${name} ${state}${word === '' ? '' : `: ${word}`}`,
        `Set ${name} in the environment or in the .env file.`,
      );
    }
    if (kind === '+') return filled ? word : '';
    if (kind === '-' && !filled) return word;
    return this.#value(name, start);
  }

  #value(name: string, start: number): string {
    const { variables } = this.#options;
    if (Object.hasOwn(variables, name)) return variables[name]!;
    this.#options.unset(name, start);
    return '';
  }

  #match(pattern: RegExp): string | undefined {
    const found = pattern.exec(this.#text.slice(this.#at, this.#at + 512))?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }
}

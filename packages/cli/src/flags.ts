/** Parses a command line by Docker's conventions. It knows no command. */
import { BulkheadError } from '@bulkhead/contract/errors';
import type { Flag } from './flag.ts';

export const HELP: Flag = { name: 'help', kind: 'switch', meaning: 'Show this help' };

/** The flags given, by long name. */
export class Values {
  readonly #given: Map<string, string[]>;

  constructor(given: Map<string, string[]>) {
    this.#given = given;
  }
  has(name: string): boolean {
    return this.#given.has(name);
  }
  on(name: string): boolean {
    return this.#given.get(name)?.at(-1) === 'true';
  }
  /** The last one given; undefined where there is none. */
  text(name: string): string | undefined {
    return this.#given.get(name)?.at(-1);
  }
  list(name: string): string[] {
    return this.#given.get(name) ?? [];
  }
}

export interface Parsed {
  flags: Values;
  args: string[];
}

const TRUE = new Set(['1', 't', 'T', 'true', 'TRUE', 'True']);
const FALSE = new Set(['0', 'f', 'F', 'false', 'FALSE', 'False']);

export function parseFlags(words: readonly string[], flags: readonly Flag[], stopAtFirstArgument = false): Parsed {
  const given = new Map<string, string[]>();
  const args: string[] = [];
  const add = (flag: Flag, shown: string, value: string): void => {
    given.set(flag.name, [...(given.get(flag.name) ?? []), checked(flag, shown, value)]);
  };
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!;
    if (word === '--') {
      args.push(...words.slice(at + 1));
      break;
    }
    if (word.startsWith('--')) {
      const equals = word.indexOf('=');
      const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
      const flag = name === 'help' ? HELP : flags.find((one) => one.name === name);
      if (!flag) throw unknownFlag(`--${name}`, name, flags);
      if (equals >= 0) add(flag, `--${name}`, word.slice(equals + 1));
      else if (flag.kind === 'switch') add(flag, `--${name}`, 'true');
      else add(flag, `--${name}`, following(words, ++at, `--${name}`));
    } else if (word.startsWith('-') && word.length > 1) {
      at = parseShort(words, at, flags, add);
    } else if (stopAtFirstArgument) {
      args.push(...words.slice(at));
      break;
    } else args.push(word);
  }
  return { flags: new Values(given), args };
}

/** `-i`, `-itd`, `-p80:80`, `-p=80:80`, `-p 80:80`; returns the index of the last word used. */
function parseShort(
  words: readonly string[],
  at: number,
  flags: readonly Flag[],
  add: (flag: Flag, shown: string, value: string) => void,
): number {
  const word = words[at]!;
  for (let letter = 1; letter < word.length; letter++) {
    const short = word[letter]!;
    const flag = flags.find((one) => one.short === short) ?? (short === 'h' ? HELP : undefined);
    if (!flag)
      throw new BulkheadError('usage', `unknown shorthand flag: '${short}' in ${word}`, { hint: 'See --help.' });
    const rest = word.slice(letter + 1);
    if (rest.startsWith('=')) {
      add(flag, `-${short}`, rest.slice(1));
      return at;
    }
    if (flag.kind === 'switch') {
      add(flag, `-${short}`, 'true');
      continue;
    }
    if (rest !== '') {
      add(flag, `-${short}`, rest);
      return at;
    }
    add(flag, `-${short}`, following(words, at + 1, `-${short}`));
    return at + 1;
  }
  return at;
}

function following(words: readonly string[], at: number, shown: string): string {
  const value = words[at];
  if (value === undefined)
    throw new BulkheadError('usage', `flag needs an argument: ${shown}`, { hint: 'See --help.' });
  return value;
}

function checked(flag: Flag, shown: string, value: string): string {
  if (flag.kind === 'switch') {
    if (TRUE.has(value)) return 'true';
    if (FALSE.has(value)) return 'false';
    throw new BulkheadError('usage', `invalid value "${value}" for ${shown}: it is a switch`, {
      hint: `Write ${shown}, ${shown}=true or ${shown}=false.`,
    });
  }
  if (flag.choices && !flag.choices.includes(value))
    throw new BulkheadError(
      flag.name === 'isolation' ? 'invalid_level' : 'usage',
      `invalid value "${value}" for ${shown}`,
      { hint: `Use ${orList(flag.choices)}.` },
    );
  return value;
}

export function orList(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

function unknownFlag(shown: string, name: string, flags: readonly Flag[]): BulkheadError {
  const near = nearest(
    name,
    flags.filter((flag) => !flag.hidden).map((flag) => flag.name),
  );
  return new BulkheadError('usage', `unknown flag: ${shown}`, {
    hint: near ? `Did you mean --${near}? See --help.` : 'See --help.',
  });
}

/** The candidate most like `word`, if any is like it at all. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word, candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Optimal string alignment: a swap of two neighbours counts once. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min(row[j - 1]! + 1, above[j]! + 1, above[j - 1]! + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, before[j - 2]! + 1);
      row.push(least);
    }
    [before, above] = [above, row];
  }
  return above[b.length]!;
}

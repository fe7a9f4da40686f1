/** Sizes, durations, numbers and shell words as Compose writes them; each refuses at the place of what it reads. */
import { refuse, type ScalarTree, type Tree, textOf } from './tree.ts';

const UNIT: Record<string, number> = { b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };
const DURATION_MS: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1e3,
  m: 6e4,
  h: 36e5,
  d: 864e5,
  w: 6048e5,
};

function shown(tree: Tree): string {
  return JSON.stringify(textOf(tree) ?? '');
}

export function bytesOf(tree: Tree, what: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([kmgt])(?:i?b)?|b)?$/i.exec((textOf(tree) ?? '').trim());
  const bytes = match ? Math.floor(Number(match[1]) * UNIT[(match[2] ?? 'b').toLowerCase()]!) : Number.NaN;
  if (!Number.isSafeInteger(bytes))
    refuse(tree.at, `${what} ${shown(tree)} is not a size`, 'Write it like 64m, 1.5g or 1048576.');
  return bytes;
}

export function durationMsOf(tree: Tree, what: string): number {
  const text = (textOf(tree) ?? '').trim();
  if (text === '0') return 0;
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d|w))+$/.test(text))
    refuse(tree.at, `${what} ${shown(tree)} is not a duration`, 'Write it like 500ms, 30s or 1m30s.');
  let total = 0;
  for (const [, value, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d|w)/g))
    total += Number(value) * DURATION_MS[unit!]!;
  return Math.round(total);
}

export function numberOf(
  tree: Tree,
  what: string,
  range: { min?: number; max?: number; whole?: boolean } = {},
): number {
  const text = (textOf(tree) ?? '').trim();
  const value = text === '' ? Number.NaN : Number(text);
  const { min = 0, max = Number.MAX_SAFE_INTEGER, whole = false } = range;
  if (!Number.isFinite(value) || (whole && !Number.isInteger(value))) {
    refuse(tree.at, `${what} ${shown(tree)} is not a ${whole ? 'whole ' : ''}number`);
  }
  if (value < min || value > max) {
    refuse(
      tree.at,
      `${what} ${shown(tree)} is out of range`,
      max === Number.MAX_SAFE_INTEGER ? `The least is ${min}.` : `It is from ${min} to ${max}.`,
    );
  }
  return value;
}

export function flagOf(tree: Tree | undefined): boolean | undefined {
  if (tree?.kind !== 'scalar' || tree.value === null) return undefined;
  if (typeof tree.value === 'boolean') return tree.value;
  const text = String(tree.value).toLowerCase();
  if (['true', 'yes', 'on', 'y', '1'].includes(text)) return true;
  if (['false', 'no', 'off', 'n', '0'].includes(text)) return false;
  return refuse(tree.at, `${shown(tree)} is neither true nor false`, 'Write true or false.');
}

/** `0440` and `"0440"` are octal. */
export function modeOf(tree: Tree): number {
  const text = (textOf(tree) ?? '').replace(/^0o/, '');
  if (!/^[0-7]{1,5}$/.test(text)) refuse(tree.at, `the mode ${shown(tree)} is not octal`, 'Write it like "0440".');
  return Number.parseInt(text, 8);
}

/** A share: `50%`, `0.5` and `50` (percent) are 0.5. */
export function shareOf(tree: Tree, what: string): number {
  const text = (textOf(tree) ?? '').trim();
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(text)?.[1];
  const value = percent === undefined ? Number(text) : Number(percent) / 100;
  if (text === '' || !Number.isFinite(value) || value < 0 || value > 1)
    refuse(tree.at, `${what} ${shown(tree)} is not a share`, 'Write it like 5% or 0.05, from 0 to 100%.');
  return value;
}

/** A command line as a POSIX shell would split it; it expands nothing. */
export function shellWords(tree: ScalarTree): string[] {
  const text = String(tree.value ?? '');
  const words: string[] = [];
  let word: string | undefined;
  for (let index = 0; index < text.length; index++) {
    const character = text[index]!;
    if (character === "'" || character === '"') {
      const start = index;
      word ??= '';
      for (index++; index < text.length && text[index] !== character; index++) {
        if (character === '"' && text[index] === '\\' && /["\\$`\n]/.test(text[index + 1] ?? '')) index++;
        word += text[index];
      }
      if (index >= text.length)
        refuse(
          tree.inside?.(start) ?? tree.at,
          `the quote ${character} in this command is not closed`,
          'Close it, or write the command as a list.',
        );
    } else if (character === '\\') {
      if (++index < text.length && text[index] !== '\n') word = (word ?? '') + text[index];
    } else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? '') + character;
  }
  if (word !== undefined) words.push(word);
  return words;
}

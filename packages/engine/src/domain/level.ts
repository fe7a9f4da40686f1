/** The isolation levels and their order. It refuses to know how a level is provided. */

/** All levels, weakest first. The order is total and is called strength. */
export const LEVELS = ['container', 'gvisor', 'microvm', 'vm'] as const;

export type Level = (typeof LEVELS)[number];

export type Trust = 'trusted' | 'untrusted';

export function isLevel(value: string): value is Level {
  return (LEVELS as readonly string[]).includes(value);
}

/** Position in the order of strength: 0 is the weakest. */
export function strength(level: Level): number {
  return LEVELS.indexOf(level);
}

export function strongest(a: Level, b: Level): Level {
  return strength(a) >= strength(b) ? a : b;
}

export function isWeaker(a: Level, b: Level): boolean {
  return strength(a) < strength(b);
}

/** The real clock and the real randomness. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../ports/clock.ts';

export const systemClock: Clock = {
  now: () => Date.now(),
  newId: () => randomBytes(16).toString('hex'),
  sleep: (ms, signal) => sleep(ms, undefined, signal ? { signal } : {}),
};

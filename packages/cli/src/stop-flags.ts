/** The flags of `stop` and `restart`, and what they ask the engine for. */
import type { Flag } from './flag.ts';
import type { Values } from './flags.ts';
import { parseNumber } from './quantities.ts';

export const STOP_FLAGS: readonly Flag[] = [
  { name: 'timeout', short: 't', kind: 'text', value: 'SECONDS', meaning: 'Time to stop before SIGKILL' },
  { name: 'signal', short: 's', kind: 'text', value: 'SIGNAL', meaning: 'Instead of the stop signal of the image' },
  { name: 'time', kind: 'text', value: 'SECONDS', meaning: 'As --timeout', hidden: true },
];

export function stopQuery(flags: Values): { timeoutMs?: number; signal?: string } {
  const seconds = flags.text('timeout') ?? flags.text('time');
  const signal = flags.text('signal');
  return {
    ...(seconds === undefined ? {} : { timeoutMs: parseNumber(seconds, '--timeout') * 1000 }),
    ...(signal === undefined ? {} : { signal }),
  };
}

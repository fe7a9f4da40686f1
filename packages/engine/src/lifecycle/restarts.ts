/** When an ended instance starts again by itself. Pure. */
import type { InstanceRecord } from '../domain/instance.ts';

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 60_000;

/** `failures`: runs in a row that did not last: 0 gives 100 ms, then twice as long each time up to a minute. */
export function restartDelayMs(failures: number): number {
  return Math.min(FIRST_DELAY_MS * 2 ** Math.min(failures, 20), LONGEST_DELAY_MS);
}

/** `stopped`: by the user, as far as that still counts: `always` forgets it when the engine starts. */
export function wantsRestart(record: InstanceRecord, stopped: boolean): boolean {
  const { name, maxRetries } = record.spec.restart;
  if (stopped) return false;
  if (name === 'always' || name === 'unless-stopped') return true;
  if (name !== 'on-failure' || record.exitCode === 0) return false;
  return maxRetries === 0 || record.restartCount < maxRetries;
}

/** At engine start, for an instance that is not running. */
export function wantsStartWithEngine(record: InstanceRecord): boolean {
  if (record.state !== 'stopped' && record.state !== 'failed') return false;
  return wantsRestart(record, record.stopRequested && record.spec.restart.name !== 'always');
}

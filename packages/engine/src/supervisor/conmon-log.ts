/** Reads and rotates the logs conmon writes. The log is the only path of output: attach, run and logs all follow it. */
import { existsSync, renameSync, rmSync, statSync } from 'node:fs';
import { setImmediate as otherWork } from 'node:timers/promises';
import type { LogQuery, LogReader, LogRecord } from '../ports/supervisor.ts';
import { LogFollower } from './log-follower.ts';

/** setTimeout takes no longer delay. */
const TIMER_MAX_MS = 2 ** 31 - 1;

export class ConmonLog implements LogReader {
  readonly #reopen: (id: string) => Promise<void>;

  constructor(deps: { supervisor: { reopenLog(id: string): Promise<void> } }) {
    this.#reopen = (id) => deps.supervisor.reopenLog(id);
  }

  async *read(logPath: string, query: LogQuery): AsyncIterable<LogRecord[]> {
    const { sinceMs = -Infinity, untilMs = Infinity, signal } = query;
    const within = (atMs: number): boolean => atMs >= sinceMs && atMs <= untilMs;
    const follower = new LogFollower(logPath, signal);
    const finish = (): void => follower.finish();
    query.ended?.then(finish, finish);
    const leftMs = untilMs - Date.now();
    const limit = leftMs <= TIMER_MAX_MS ? setTimeout(finish, Math.max(0, leftMs)) : undefined;
    try {
      if (query.tail !== undefined) follower.skipToLast(query.tail, within);
      while (!signal?.aborted) {
        const records = follower.available();
        const wanted = records.filter((record) => within(record.at));
        if (wanted.length > 0) yield wanted;
        // A long log must not keep the engine from everything else.
        if (records.length > 0) await otherWork();
        else if (!query.follow || !(await follower.more())) return;
      }
    } finally {
      clearTimeout(limit);
      follower.close();
    }
  }

  /** Bounded while no engine runs, too: conmon itself starts anew at its own, higher limit. */
  async rotate(id: string, logPath: string, maxSizeBytes: number, maxFiles: number): Promise<void> {
    const stats = statSync(logPath, { throwIfNoEntry: false });
    if (stats === undefined || stats.size < maxSizeBytes) return;
    rmSync(`${logPath}.${Math.max(1, maxFiles - 1)}`, { force: true });
    for (let index = maxFiles - 2; index >= 1; index--)
      if (existsSync(`${logPath}.${index}`)) renameSync(`${logPath}.${index}`, `${logPath}.${index + 1}`);
    if (maxFiles > 1) renameSync(logPath, `${logPath}.1`);
    await this.#reopen(id);
  }
}

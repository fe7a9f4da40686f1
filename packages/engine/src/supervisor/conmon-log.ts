/** Reads and rotates the logs conmon writes. The log is the only path of output: attach, run and logs all follow it. */
import { existsSync, type FSWatcher, renameSync, rmSync, statSync, watch } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { LogQuery, LogReader, LogRecord } from '../ports/supervisor.ts';
import { LogDecoder } from './log-record.ts';

const CHUNK_BYTES = 256 * 1024;
/** A safety net under the file watcher. */
const POLL_MS = 500;

export class ConmonLog implements LogReader {
  readonly #reopen: (id: string) => Promise<void>;

  constructor(deps: { supervisor: { reopenLog(id: string): Promise<void> } }) {
    this.#reopen = (id) => deps.supervisor.reopenLog(id);
  }

  async *read(logPath: string, query: LogQuery): AsyncIterable<LogRecord[]> {
    const within = (record: LogRecord): boolean =>
      (query.sinceMs === undefined || record.at >= query.sinceMs) &&
      (query.untilMs === undefined || record.at <= query.untilMs);
    const follower = new Follower(logPath, query.signal);
    void query.ended?.then(
      () => follower.finish(),
      () => follower.finish(),
    );
    try {
      if (query.tail !== undefined) {
        const rest = await lastLines(await follower.available(), query.tail, within);
        if (rest.length > 0) yield rest;
      }
      for (;;) {
        const records = (await follower.available()).filter(within);
        if (records.length > 0) yield records;
        else if (!query.follow || query.signal?.aborted || !(await follower.more())) return;
      }
    } finally {
      await follower.close();
    }
  }

  async rotate(id: string, logPath: string, maxSizeBytes: number, maxFiles: number): Promise<void> {
    if (!existsSync(logPath) || statSync(logPath).size < maxSizeBytes) return;
    if (maxFiles <= 1) rmSync(logPath, { force: true });
    else {
      rmSync(`${logPath}.${maxFiles - 1}`, { force: true });
      for (let index = maxFiles - 2; index >= 1; index--)
        if (existsSync(`${logPath}.${index}`)) renameSync(`${logPath}.${index}`, `${logPath}.${index + 1}`);
      renameSync(logPath, `${logPath}.1`);
    }
    await this.#reopen(id);
  }
}

/** The last `count` lines: records without a newline belong to the line that follows. */
async function lastLines(
  records: LogRecord[],
  count: number,
  within: (record: LogRecord) => boolean,
): Promise<LogRecord[]> {
  const kept = records.filter(within);
  let lines = 0;
  let start = kept.length;
  while (start > 0) {
    const ends = kept[start - 1]?.data.at(-1) === 0x0a || start === kept.length;
    if (ends && ++lines > count) break;
    start--;
  }
  return kept.slice(start);
}

/** Follows one log over rotations: reads the old file to its end before it goes to the new one. */
class Follower {
  readonly #path: string;
  readonly #signal: AbortSignal | undefined;
  #file: FileHandle | undefined;
  #inode = 0;
  #offset = 0;
  #decoder = new LogDecoder();
  #older: string[] = [];
  #watcher: FSWatcher | undefined;
  #wake: () => void = () => {};
  #changed = false;
  #finished = false;
  #lastRound = false;
  readonly #buffer = Buffer.allocUnsafe(CHUNK_BYTES);

  constructor(path: string, signal: AbortSignal | undefined) {
    this.#path = path;
    this.#signal = signal;
    for (let index = 1; existsSync(`${path}.${index}`); index++) this.#older.unshift(`${path}.${index}`);
    this.#watch();
    signal?.addEventListener('abort', () => this.#notify());
  }

  #watch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    if (!existsSync(this.#path)) return;
    this.#watcher = watch(this.#path, () => this.#notify());
    this.#watcher.on('error', () => {});
  }

  #notify(): void {
    this.#changed = true;
    this.#wake();
  }

  /** The task has ended: what is there is drained, then {@link more} answers no. */
  finish(): void {
    this.#finished = true;
    this.#notify();
  }

  /** All whole records that can be read now, bounded by the chunk; empty when at the end. */
  async available(): Promise<LogRecord[]> {
    const collected: LogRecord[] = [];
    for (;;) {
      if (this.#file === undefined && !(await this.#openNext())) return collected;
      const { bytesRead } = (await this.#file?.read(this.#buffer, 0, CHUNK_BYTES, this.#offset)) ?? { bytesRead: 0 };
      if (bytesRead > 0) {
        this.#offset += bytesRead;
        for (const record of this.#decoder.feed(Buffer.from(this.#buffer.subarray(0, bytesRead))))
          collected.push(record);
        if (collected.length >= 4096) return collected;
        continue;
      }
      if (!(await this.#rotatedAway())) return collected;
      await this.#file?.close();
      this.#file = undefined;
    }
  }

  async #openNext(): Promise<boolean> {
    const next = this.#older.shift() ?? this.#path;
    try {
      this.#file = await open(next, 'r');
    } catch {
      return false;
    }
    this.#inode = (await this.#file.stat()).ino;
    this.#offset = 0;
    if (next === this.#path && this.#watcher === undefined) this.#watch();
    return true;
  }

  async #rotatedAway(): Promise<boolean> {
    if (this.#older.length > 0) return true;
    try {
      if (statSync(this.#path).ino === this.#inode) return false;
    } catch {
      return false;
    }
    this.#watch();
    return true;
  }

  /** False when nothing can follow any more. */
  async more(): Promise<boolean> {
    if (this.#signal?.aborted) return false;
    if (this.#finished) {
      if (this.#lastRound) return false;
      this.#lastRound = true;
      return true;
    }
    if (!this.#changed) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, POLL_MS);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
        if (this.#changed) this.#wake();
      });
    }
    this.#changed = false;
    return true;
  }

  async close(): Promise<void> {
    this.#watcher?.close();
    await this.#file?.close();
    this.#file = undefined;
  }
}

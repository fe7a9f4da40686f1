/** Follows one log over rotations: reads the old file to its end before it goes to the new one. */
import { type FSWatcher, readSync, watch } from 'node:fs';
import type { LogRecord } from '../ports/supervisor.ts';
import { closeLog, identityAt, type LogFile, lastLines, openLog } from './log-files.ts';
import { LogDecoder } from './log-record.ts';

const CHUNK_BYTES = 256 * 1024;
/** A safety net under the file watcher; and while there is no file to watch. */
const POLL_MS = 500;
const ABSENT_POLL_MS = 10;

export class LogFollower {
  readonly #path: string;
  readonly #signal: AbortSignal | undefined;
  readonly #buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  readonly #onAbort = (): void => this.#notify();
  /** The first is being read. */
  #files: LogFile[];
  #offset = 0;
  #decoder = new LogDecoder();
  #watcher: FSWatcher | undefined;
  #watched: string | undefined;
  #wake: () => void = () => {};
  #changed = false;
  #finished = false;
  #lastRound = false;

  constructor(path: string, signal: AbortSignal | undefined) {
    this.#path = path;
    this.#signal = signal;
    this.#files = openLog(path);
    signal?.addEventListener('abort', this.#onAbort);
  }

  skipToLast(count: number, within: (atMs: number) => boolean): void {
    const { index, offset } = lastLines(this.#files, count, within);
    closeLog(this.#files.splice(0, index));
    this.#offset = offset;
  }

  #notify(): void {
    this.#changed = true;
    this.#wake();
  }

  /** Nothing more will be written: what is there is drained, then {@link more} answers no. */
  finish(): void {
    this.#finished = true;
    this.#notify();
  }

  /** The next records, at most one chunk of them; empty at the end of what is written. */
  available(): LogRecord[] {
    for (;;) {
      const [file] = this.#files;
      if (file === undefined) {
        this.#files = openLog(this.#path);
        if (this.#files.length === 0) return [];
        continue;
      }
      // Asked before the read: a file that had a successor then has got its last byte.
      const newer = this.#files.length > 1 ? [] : this.#newer(file);
      const replaced = this.#files.length > 1 || newer.length > 0;
      this.#files.push(...newer);
      const bytes = readSync(file.descriptor, this.#buffer, 0, CHUNK_BYTES, this.#offset);
      this.#offset += bytes;
      if (bytes > 0) {
        const records = this.#decoder.feed(Buffer.from(this.#buffer.subarray(0, bytes)));
        if (records.length > 0) return records;
      } else if (replaced) {
        closeLog(this.#files.splice(0, 1));
        this.#offset = 0;
        this.#decoder = new LogDecoder();
      } else return [];
    }
  }

  #newer(file: LogFile): LogFile[] {
    const identity = identityAt(this.#path);
    return identity === undefined || identity === file.identity ? [] : openLog(this.#path, file.identity);
  }

  /** Waits for more; false when nothing can follow any more. */
  async more(): Promise<boolean> {
    if (this.#signal?.aborted) return false;
    if (this.#finished) {
      if (this.#lastRound) return false;
      this.#lastRound = true;
      return true;
    }
    const watching = this.#watch();
    // What was written before the watcher was there has woken nobody.
    if (watching === 'new') return true;
    if (!this.#changed) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, watching === 'absent' ? ABSENT_POLL_MS : POLL_MS);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#changed = false;
    return !this.#signal?.aborted;
  }

  #watch(): 'new' | 'same' | 'absent' {
    const identity = identityAt(this.#path);
    if (identity !== undefined && identity === this.#watched) return 'same';
    this.#watcher?.close();
    this.#watched = undefined;
    if (identity === undefined) return 'absent';
    try {
      this.#watcher = watch(this.#path, () => this.#notify());
      this.#watcher.on('error', () => {});
    } catch {
      return 'absent';
    }
    this.#watched = identity;
    return 'new';
  }

  close(): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#watcher?.close();
    closeLog(this.#files.splice(0));
  }
}

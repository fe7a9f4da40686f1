/** Keeps a bundle's process, its log and its exit code while the engine is gone (conmon). */
import type { Readable, Writable } from 'node:stream';
import type { Exit } from './driver.ts';

export interface SupervisedRun {
  id: string;
  /** Directory with config.json. */
  bundle: string;
  /** Absolute path of the OCI runtime, and its global arguments. */
  runtime: string;
  runtimeArgs: string[];
  /** cgroup directories the runtime must be put into before it starts (runsc with --ignore-cgroups). */
  joinCgroups: string[];
  tty: boolean;
  stdin: boolean;
  logPath: string;
  logMaxBytes: number;
  /** Give the process its stdout and stderr once more as descriptors 3 and 4. */
  extraOutput?: boolean;
}

export interface StandbyMaker {
  /** Makes what a run needs before its bundle is known. */
  prepare: () => SupervisedRun;
  /** Removes all of one that nobody will start. */
  discard: (id: string) => Promise<void>;
}

/** Supervisors that are up before their task is known. */
export interface Standby {
  /** The id of one; `start` with it goes on from there. Undefined where none of this kind is ready. */
  take(kind: string): string | undefined;
  /** Soon, and in the background, `size` of this kind and no others. */
  refill(kind: string, size: number, maker: StandbyMaker): void;
  /** Ends those that wait; there will be no more. */
  close(): Promise<void>;
}

export interface Supervisor {
  readonly standby: Standby;
  /** Starts the bundle (create and start in one); resolves with the pid of its process, rejects with the runtime's own words. */
  start(run: SupervisedRun): Promise<{ pid: number }>;
  /** Resolves when the process has ended; also for one that ended while nobody looked. */
  wait(id: string): Promise<Exit>;
  /** Undefined while it runs or is unknown. */
  exited(id: string): Promise<Exit | undefined>;
  /** True while the supervisor of `id` lives. */
  alive(id: string): Promise<boolean>;
  attachStdin(id: string): Promise<Writable>;
  resize(id: string, columns: number, rows: number): Promise<void>;
  /** Removes exit files, sockets and, if still there, the supervisor itself. Idempotent. */
  forget(id: string): Promise<void>;
}

export interface LogRecord {
  stream: 'stdout' | 'stderr';
  /** Unix time in milliseconds, and the original timestamp text. */
  at: number;
  timestamp: string;
  /** Bytes exactly as written by the task, newline included where it wrote one. */
  data: Buffer;
}

export interface LogQuery {
  follow: boolean;
  sinceMs?: number;
  untilMs?: number;
  /** Last n lines. */
  tail?: number;
  /** With follow: resolves when the task has ended; the reader drains what is left and ends. */
  ended?: Promise<unknown>;
  signal?: AbortSignal;
}

export interface LogReader {
  /** Records in order over all rotated files (`log.N` … `log.1`, `log`). Latency of a followed record is a few milliseconds. */
  read(logPath: string, query: LogQuery): AsyncIterable<LogRecord[]>;
  /** Rotates where the size asks for it; called now and then by the lifecycle for each running instance. */
  rotate(id: string, logPath: string, maxSizeBytes: number, maxFiles: number): Promise<void>;
  /** For tests and piping. */
  raw?(logPath: string): Readable;
}

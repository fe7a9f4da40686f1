/** A driver runs instances at one level. It does; it decides nothing. */
import type { Readable, Writable } from 'node:stream';
import type { Lease } from '../domain/instance.ts';
import type { Level } from '../domain/level.ts';
import type { Limits, MountSpec, TaskSpec, Ulimit } from '../domain/task.ts';

export interface Fingerprint {
  level: Level;
  available: boolean;
  /** What holds the task, in a few words, e.g. `namespaces, user namespace, seccomp, no capabilities`. */
  holds: string;
  /** Why not, where not available. */
  reason?: string;
  /** How to get it, where not available. */
  fix?: string;
  /** Free-form facts shown by `doctor` and `inspect`, e.g. `{ accelerator: 'tcg', platform: 'systrap' }`. */
  detail: Record<string, string>;
}

export interface ProcessSpec {
  args: string[];
  env: string[];
  cwd: string;
  /** `uid[:gid]` or names, resolved by the driver inside the instance's own root. */
  user: string;
  groupAdd: string[];
  tty: boolean;
  stdin: boolean;
}

/** Everything a driver needs to start one instance: resolved, merged, with all paths made. */
export interface StartPlan {
  id: string;
  name: string;
  hostname: string;
  domainname?: string;
  process: ProcessSpec;
  /** Layer diff ids, lowest first (`sha256:...`). */
  layers: string[];
  readOnlyRoot: boolean;
  /** Volumes already resolved to host paths: every mount is `bind` or `tmpfs` here. */
  mounts: MountSpec[];
  limits: Limits;
  ulimits: Ulimit[];
  shmSizeBytes: number;
  sysctls: Record<string, string>;
  /** Capability names with `CAP_`, the final set. */
  capabilities: string[];
  init: boolean;
  /** Absent: no network at all. */
  lease?: Lease;
  /** Contents of /etc/hosts and /etc/resolv.conf. */
  hostsFile: string;
  resolvConf: string;
  /** `log` path, in the conmon k8s-file format; the supervisor writes it. */
  logPath: string;
  logMaxBytes: number;
}

export interface Exit {
  /** 0 to 255; 128+n for a signal n. */
  code: number;
  oomKilled: boolean;
  /** Unix time in milliseconds. */
  at: number;
}

/** One interactive process: `exec`. Streams are raw bytes; with a tty all output is on `stdout`. */
export interface Session {
  stdin: Writable;
  stdout: Readable;
  stderr: Readable;
  resize(columns: number, rows: number): void;
  /** Ends the process where that is possible; closes all streams. */
  close(): void;
  exit: Promise<number>;
}

/** Input side of the instance's main process; its output is in the log. */
export interface Attachment {
  stdin: Writable;
  resize(columns: number, rows: number): void;
  close(): void;
}

export interface Stats {
  /** Unix time in milliseconds. */
  at: number;
  cpuNanoseconds: number;
  memoryBytes: number;
  memoryLimitBytes: number;
  pids: number;
  networkReceivedBytes: number;
  networkSentBytes: number;
  blockReadBytes: number;
  blockWrittenBytes: number;
}

export type RecoveredState = 'running' | 'exited' | 'lost';

export interface Driver {
  readonly level: Level;
  /** An id with which `task` starts faster than with a fresh one; whoever takes it starts it or calls `destroy`. */
  standbyId?(task: TaskSpec): string | undefined;
  /** The engine ends: what was made ready for tasks to come goes. */
  close?(): Promise<void>;
  /** Probes by use, with a time limit; the caller caches. */
  fingerprint(): Promise<Fingerprint>;
  /** Starts and returns a versioned serialisable handle once the task's process exists. Cleans up after itself on error. */
  start(plan: StartPlan): Promise<string>;
  /** After an engine restart: is what `handle` names still there? `handle` may be missing when the crash came before it was stored. */
  recover(id: string, handle: string | undefined): Promise<RecoveredState>;
  /** Resolves when the main process has ended, also when it ended while the engine was down. */
  wait(id: string, handle: string): Promise<Exit>;
  signal(id: string, handle: string, signal: number): Promise<void>;
  exec(id: string, handle: string, process: ProcessSpec): Promise<Session>;
  attach(id: string, handle: string): Promise<Attachment>;
  stats(id: string, handle: string): Promise<Stats>;
  update(id: string, handle: string, limits: Limits): Promise<void>;
  /** A tar of `path` inside the instance, running or stopped. The base name of `path` is the root entry. */
  readArchive(plan: StartPlan, handle: string | undefined, path: string): Promise<Readable>;
  /** Unpacks a tar below the directory `path` inside the instance. */
  writeArchive(plan: StartPlan, handle: string | undefined, path: string, tar: Readable): Promise<void>;
  /** Facts `inspect` shows, e.g. `{ accelerator: 'tcg', network: 'host' }`. */
  inspect(id: string, handle: string | undefined): Promise<Record<string, string>>;
  /** Ends and removes every host resource of a run (process, mounts, cgroup, run directory); idempotent; keeps the writable layer. */
  release(id: string): Promise<void>;
  /** As release, and the writable layer too; idempotent. */
  destroy(id: string): Promise<void>;
  /** Ids of which this driver finds anything on the host: recovery removes those that the state does not know. */
  leftovers(): Promise<string[]>;
}

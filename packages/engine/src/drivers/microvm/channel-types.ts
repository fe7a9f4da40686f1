/** What the host tells a guest: its machine (GuestConfig) and its processes (GuestProcess). */
import type { Ulimit } from '../../domain/task.ts';

export interface GuestMount {
  kind: 'block' | '9p';
  /** Block: device name (`vdb`), serial, or index in disk order (`1`); 9p: its tag. */
  source: string;
  target: string;
  /** For `block`; 9p ignores it. */
  fsType: string;
  readOnly: boolean;
  /** Directory or file below the mounted file system that appears at `target`; absent: its root. */
  subpath?: string;
}

export interface GuestTmpfs {
  target: string;
  sizeBytes?: number;
  /** Octal mode bits, default 0o1777. */
  mode?: number;
}

export interface GuestConfig {
  hostname: string;
  domainname?: string;
  /** Lowest first; `device` is a name (`vda`), a serial, or an index in disk order. */
  layers: { device: string; fsType: 'squashfs' | 'erofs' }[];
  upper: { device: string; fsType: 'ext4' } | { tmpfs: true; sizeBytes?: number };
  readOnlyRoot: boolean;
  mounts: GuestMount[];
  tmpfs: GuestTmpfs[];
  shmSizeBytes: number;
  network?: { interfaceName: string; ip: string; prefixLength: number; gateway: string };
  hostsFile: string;
  resolvConf: string;
  sysctls: Record<string, string>;
  unixTimeMs: number;
  /** 256 bytes. */
  entropy: Buffer;
}

export interface GuestProcess {
  args: string[];
  env: string[];
  cwd: string;
  user: string;
  groupAdd: string[];
  tty: boolean;
  stdin: boolean;
  /** Names with `CAP_`. */
  capabilities: string[];
  ulimits: Ulimit[];
  noNewPrivileges: boolean;
  pidsLimit?: number;
  /** Put a small init in front that reaps orphans and passes signals on (tasks only). */
  init?: boolean;
  /** First size of the terminal. */
  terminalSize?: { columns: number; rows: number };
}

export interface GuestHello {
  agentVersion: string;
  kernel: string;
  taskStarted: boolean;
}

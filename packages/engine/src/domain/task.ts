/** What a user asks to run: one command in one image with its limits and grants. Pure data. */
import type { Level, Trust } from './level.ts';

export interface PortMapping {
  /** Host address, `0.0.0.0` unless said otherwise. */
  hostIp: string;
  /** 0 asks the engine to choose a free one. */
  hostPort: number;
  port: number;
  protocol: 'tcp' | 'udp';
}

export interface MountSpec {
  type: 'bind' | 'volume' | 'tmpfs';
  /** Host path (bind), volume name (volume), empty for tmpfs. */
  source: string;
  /** Absolute path inside the instance. */
  target: string;
  readOnly: boolean;
  /** A folder of the host only: whether its owners are those of the host, as far as that can; else they look like nobody's. */
  hostOwners?: boolean;
  /** tmpfs only. */
  sizeBytes?: number;
  /** tmpfs only, e.g. 0o1777. */
  mode?: number;
}

export interface Limits {
  memoryBytes?: number;
  /** Fractions allowed: 1.5 is one and a half CPUs. */
  cpus?: number;
  pids?: number;
  /** Limit of the writable layer. */
  diskBytes?: number;
  cpuShares?: number;
  cpusetCpus?: string;
}

export interface Ulimit {
  name: string;
  soft: number;
  hard: number;
}

export interface HealthCheck {
  /** `['CMD', ...]`, `['CMD-SHELL', 'line']` or `['NONE']`. */
  test: string[];
  intervalMs: number;
  timeoutMs: number;
  startPeriodMs: number;
  retries: number;
}

export interface RestartPolicy {
  name: 'no' | 'always' | 'on-failure' | 'unless-stopped';
  /** 0 is no limit; only for `on-failure`. */
  maxRetries: number;
}

export interface LogOptions {
  /** Rotate when a file passes this. */
  maxSizeBytes: number;
  maxFiles: number;
}

/** A task as asked for: image reference still unresolved, nothing merged from the image's own configuration. */
export interface TaskSpec {
  image: string;
  /** Replaces the image's CMD where given. */
  command?: string[];
  entrypoint?: string[];
  env: string[];
  workdir?: string;
  /** `uid[:gid]` or names. */
  user?: string;
  groupAdd: string[];
  hostname?: string;
  domainname?: string;
  labels: Record<string, string>;
  tty: boolean;
  /** Keep stdin open (`-i`). */
  openStdin: boolean;
  limits: Limits;
  mounts: MountSpec[];
  readOnlyRoot: boolean;
  ports: PortMapping[];
  publishAll: boolean;
  /** Network name, or `none`. `host` is refused without a grant. */
  network: string;
  networkAliases: string[];
  extraHosts: string[];
  dns: string[];
  dnsSearch: string[];
  restart: RestartPolicy;
  healthCheck?: HealthCheck;
  stopSignal?: string;
  stopTimeoutMs?: number;
  init: boolean;
  capAdd: string[];
  capDrop: string[];
  privileged: boolean;
  devices: string[];
  sysctls: Record<string, string>;
  ulimits: Ulimit[];
  shmSizeBytes: number;
  autoRemove: boolean;
  log: LogOptions;
  /** Asked level; policy may raise it, never lower it. */
  isolation?: Level;
  trust: Trust;
}

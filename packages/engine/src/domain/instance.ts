/** The states of one running copy and the legal steps between them. */
import type { Level } from './level.ts';
import type { PortMapping, TaskSpec } from './task.ts';

/** Legal transitions; anything else does not compile through {@link step} and is refused at run time. */
export const TRANSITIONS = {
  pending: ['preparing', 'failed', 'removed'],
  preparing: ['starting', 'failed', 'stopped', 'removed'],
  starting: ['running', 'failed', 'stopped', 'removed'],
  running: ['stopping', 'stopped', 'failed'],
  stopping: ['stopped', 'failed'],
  stopped: ['preparing', 'removed'],
  failed: ['preparing', 'removed'],
  removed: [],
} as const satisfies Record<string, readonly string[]>;

export type InstanceState = keyof typeof TRANSITIONS;
export type NextState<S extends InstanceState> = (typeof TRANSITIONS)[S][number];

export function canStep(from: InstanceState, to: InstanceState): boolean {
  return (TRANSITIONS[from] as readonly string[]).includes(to);
}

/** `from` with a compile-time check that `to` may follow it. */
export function step<S extends InstanceState>(_from: S, to: NextState<S>): NextState<S> {
  return to;
}

export type Health = 'none' | 'starting' | 'healthy' | 'unhealthy';

/** Why a rule raised or kept the level; printed by `explain`. */
export interface Reason {
  /** Rule name, e.g. `untrusted-needs-kernel`. */
  rule: string;
  /** `file:line:column` of the rule. */
  source: string;
  minimum: Level;
  message: string;
}

export interface Decision {
  level: Level;
  minimum: Level;
  asked?: Level;
  reasons: Reason[];
}

/** Network facts fixed when the instance was given its netns. */
export interface Lease {
  network: string;
  netnsPath: string;
  interfaceName: string;
  mac: string;
  ip: string;
  prefixLength: number;
  gateway: string;
  dnsServer: string;
}

/** How a stop was asked for; without, the task's own ways count. */
export interface StopOptions {
  timeoutMs?: number;
  /** Name or number. */
  signal?: string;
}

export interface InstanceRecord {
  /** 32 hex digits; the first 12 are the short id. */
  id: string;
  name: string;
  spec: TaskSpec;
  imageId: string;
  decision: Decision;
  state: InstanceState;
  health: Health;
  /** Opaque to all but its driver; versioned JSON. */
  handle?: string;
  lease?: Lease;
  /** Published, with the host ports really used; present while it has a lease. */
  ports?: PortMapping[];
  exitCode?: number;
  oomKilled: boolean;
  error?: string;
  restartCount: number;
  /** The user asked for it to be stopped (restart policy `unless-stopped`, `always` until engine restart). */
  stopRequested: boolean;
  /** Beside state `stopping`: an engine that takes over goes on with it. */
  stop?: StopOptions;
  /** Beside state `removed`: its anonymous volumes go with it. */
  removeVolumes?: boolean;
  createdAt: number;
  startedAt?: number;
  finishedAt?: number;
}

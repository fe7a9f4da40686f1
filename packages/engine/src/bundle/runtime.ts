/** What the levels that run an OCI bundle are made of, and what a runtime needs to be called with. */
import type { Lease } from '../domain/instance.ts';
import type { Limits } from '../domain/task.ts';
import type { Cgroups } from '../host/cgroup.ts';
import type { HostPaths } from '../ports/host.ts';
import type { RootfsStore } from '../ports/rootfs.ts';
import type { Supervisor } from '../ports/supervisor.ts';

export interface RuntimeDeps {
  paths: HostPaths;
  rootfs: RootfsStore;
  supervisor: Supervisor;
  cgroup: Cgroups;
  counters: (lease: Lease) => Promise<{ receivedBytes: number; sentBytes: number }>;
}

export interface Runtime {
  command: string;
  /** Its directory of what runs; also among `args`. */
  state: string;
  /** Global arguments, before the verb. */
  args: string[];
  /** The runtime leaves cgroups alone: the engine makes them and puts it in. */
  ownCgroups: boolean;
  /** The devices cgroup is the engine's matter, too. */
  ownDevices: boolean;
  /** The bundle has to say which system calls are allowed. */
  seccomp: boolean;
  /** Name below the state directory of an instance, of the filter the runtime has compiled from those rules. */
  compiledFilter?: string;
  /** How much more than the task's own processes the pids limit has to hold. */
  pidsHeadroom: number;
  /** The same while it starts the task, with `ownCgroups`. */
  startHeadroom: number;
  /** The runtime puts a tmpfs over an empty /tmp unless something is mounted there. */
  coversTmp: boolean;
  /** Starts are frequent and short enough for supervisors on standby. */
  standby: boolean;
  /** All it keeps of an ended run is a folder in its state directory; others have to be asked to delete. */
  forgettable: boolean;
  /** Ends with a code of its own when the kernel has killed it for want of memory. */
  hidesKill: boolean;
  /** Arguments of `exec` for a terminal, beside what the process file says. */
  terminalFlags: string[];
  /** What `exec` cannot load is killed, and nobody says why. */
  execsInSilence: boolean;
}

/** What a driver has to remember of a run; stored by the engine as JSON. */
export interface Handle {
  version: 1;
  pid: number;
  tty: boolean;
  lease?: Lease;
  capabilities: string[];
  /** As set for the main process; `exec` gets the same. */
  rlimits?: { type: string; soft: number; hard: number }[];
  /** Targets of binds whose owners could not be mapped. */
  unmapped?: string[];
  /** Limits that were asked for higher than this host can give. */
  lowered?: string[];
}

/** conmon's own limit is a backstop for the time when no engine rotates. */
export const LOG_BACKSTOP = 4;

/** Directories the runtime has to be put into; none where it sees to its cgroup itself. */
export function joinedCgroups(cgroup: Cgroups, runtime: Runtime, id: string, limits: Limits): string[] {
  return runtime.ownCgroups ? cgroup.create(id, limits, { usualDevices: runtime.ownDevices }) : [];
}

const JOIN = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit 126; shift; done; shift; exec "$@"';

/** The same command, from inside the cgroups `directories`. */
export function insideCgroups(
  directories: string[],
  command: string,
  args: string[],
): [command: string, args: string[]] {
  return directories.length === 0
    ? [command, args]
    : ['/bin/sh', ['-c', JOIN, 'sh', ...directories, '--', command, ...args]];
}

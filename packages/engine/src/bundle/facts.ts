/** What a bundle needs to know beyond the plan: where things are on this host. */
import type { IdMap } from '../ports/rootfs.ts';
import type { Rlimit } from './resource-limits.ts';
import type { Identity } from './user.ts';

export interface BundleFacts {
  /** Merged root directory on the host. */
  root: string;
  /** Absent: no user namespace. */
  idMap: IdMap | undefined;
  /** `/bulkhead-TAG/ID`; absent: the driver has its own way. */
  cgroupsPath: string | undefined;
  /** Host paths of the files the engine gives: hosts, resolv.conf, hostname. */
  files: { hosts: string; resolvConf: string; hostname: string };
  identity: Identity;
  /** Host path of the init of `--init`. */
  initPath: string;
  busyboxPath: string;
  rlimits: Rlimit[];
  /** This kernel counts swap. */
  limitsSwap: boolean;
  /** Absent: the runtime has a filter of its own. `compiled` is the same as base64 of BPF, where it is known. */
  seccomp?: { rules: unknown; compiled?: string };
  /** The image's own /tmp on the host, where the runtime would cover it otherwise. */
  tmpSource?: string;
}

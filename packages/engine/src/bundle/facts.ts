/** What a bundle needs to know beyond the plan: where things are on this host. */
import type { IdMap } from '../ports/rootfs.ts';
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
  /** Hard limits of this engine: nobody here can raise above them. */
  hardNofile: number;
  seccomp: boolean;
  /** The image's own /tmp on the host, where the runtime would cover it otherwise. */
  tmpSource?: string;
}

/** What this host is, and where this engine keeps its things. Every name is computed, so a crash can be cleaned up. */

/** Fixed for the life of an engine; see `paths` in docs/architecture.md. */
export interface HostPaths {
  /** Persistent: `/var/lib/bulkhead`. */
  data: string;
  /** Volatile: `/run/bulkhead`. */
  run: string;
  /** 6 hex digits from the data path: tells two engines on one host apart in every resource name. */
  tag: string;
}

export interface CgroupSetup {
  version: 1 | 2;
  /** v1: mount point per controller; v2: one entry `unified`. */
  mounts: Record<string, string>;
}

/** One line of `doctor`. */
export interface Check {
  name: string;
  status: 'ok' | 'warning' | 'failed';
  /** What was found. */
  found: string;
  /** What it means for the levels. */
  means: string;
  fix?: string;
}

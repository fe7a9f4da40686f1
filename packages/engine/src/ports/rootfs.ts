/** Root file systems: image layers shared and read-only, a writable layer per instance. */

export interface IdMap {
  /** First host id; inside ids 0..count-1 map to host ids hostId..hostId+count-1. */
  hostId: number;
  count: number;
}

export interface RootfsStore {
  /** The ids a container's root is mapped to, or undefined where this host cannot map a root file system. */
  idMap(): IdMap | undefined;
  /**
   * Mounts layers (lowest first) plus the instance's writable layer; returns the merged directory. Idempotent. With
   * `writableBytes` the writable layer ends in "no space left" at that size, which it gets at its first mount.
   */
  mount(id: string, layers: string[], writableBytes?: number): Promise<string>;
  /**
   * Shows a directory or file of the host at a place which the instance's root can reach, with `hostOwners` so that host id n
   * is n inside. Undefined where this host or the file system cannot. It goes with {@link unmount}.
   */
  showTree?(id: string, source: string, options: { readOnly: boolean; hostOwners: boolean }): string | undefined;
  /** Idempotent. */
  unmount(id: string): Promise<void>;
  /** Deletes the instance's writable layer (after unmount). Idempotent. */
  discard(id: string): Promise<void>;
  /** Reads a file below `root` without ever leaving it (openat2 RESOLVE_IN_ROOT); undefined where there is none. */
  readFile(root: string, path: string, maxBytes: number): Promise<Buffer | undefined>;
  /** Makes directories below `root`, never leaving it; returns the real host path of the last. */
  ensureDirectory(root: string, path: string): Promise<string>;
  /** The read-only block image (squashfs or erofs) of a layer, for a virtual machine's disk. */
  layerFile(layer: string): string;
  layerFormat(): 'squashfs' | 'erofs';
  /** Instance ids that have a mount or a writable layer. */
  leftovers(): Promise<string[]>;
}

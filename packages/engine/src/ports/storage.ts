/** Persistent directories of instances and volumes on this host. */

export interface BindSource {
  /** With every symbolic link resolved. */
  realPath: string;
  directory: boolean;
}

export interface Storage {
  /** Makes the instance's directory and returns its log path. Idempotent. */
  prepareInstance(id: string): string;
  logPath(id: string): string;
  /** Log and all; after the driver's destroy. Idempotent. */
  removeInstance(id: string): Promise<void>;
  /** Its log and what it has written. */
  instanceBytes(id: string): Promise<number>;
  instanceLeftovers(): Promise<string[]>;

  /** Host directory of a volume, whether it exists or not. */
  volumePath(name: string): string;
  /** Makes the directory, owned by the instances' root; true when it was not there before. Idempotent. */
  createVolume(name: string): Promise<boolean>;
  /** Copies what `from` holds, owners and attributes kept, into an empty volume. */
  seedVolume(name: string, from: string): Promise<void>;
  removeVolume(name: string): Promise<void>;
  volumeBytes(name: string): Promise<number>;

  /** Undefined where there is nothing. */
  bindSource(path: string): Promise<BindSource | undefined>;
}

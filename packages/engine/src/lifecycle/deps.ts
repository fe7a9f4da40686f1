/** What the lifecycle is given: ports only. */
import type { Level } from '../domain/level.ts';
import type { Clock, FaultPoint } from '../ports/clock.ts';
import type { Driver } from '../ports/driver.ts';
import type { ImageStore } from '../ports/images.ts';
import type { NetworkProvider } from '../ports/network.ts';
import type { Policy } from '../ports/policy.ts';
import type { RootfsStore } from '../ports/rootfs.ts';
import type { StateStore } from '../ports/state.ts';
import type { Storage } from '../ports/storage.ts';
import type { LogReader } from '../ports/supervisor.ts';

export interface LifecycleDeps {
  clock: Clock;
  state: StateStore;
  images: ImageStore;
  rootfs: RootfsStore;
  network: NetworkProvider;
  drivers: ReadonlyMap<Level, Driver>;
  logs: LogReader;
  policy: Policy;
  storage: Storage;
  fault: FaultPoint;
  /** CPUs of this host. */
  cpus: number;
  /** The engine's own directories: nobody may mount them without a grant. */
  ownTrees: string[];
  /** For what goes wrong where nobody waits for the answer. */
  report: (what: string, error: unknown) => void;
}

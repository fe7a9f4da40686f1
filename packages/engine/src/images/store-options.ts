/** What an image store is made with: its folders, and what it needs of others on this host. */
import type { HostPaths } from '../ports/host.ts';
import type { BuildNetwork } from './buildah.ts';
import type { ImageFault } from './faults.ts';
import type { ImageState } from './image-records.ts';
import type { LayerJob } from './layer-builder.ts';

export interface SkopeoImageStoreOptions {
  paths: HostPaths;
  state: ImageState;
  /** A pull that receives nothing for this long fails. */
  stallMs?: number;
  /** Of `docker-daemon:`, as DOCKER_HOST says it; absent: Docker's usual socket. */
  dockerHost?: string;
  /** Replaces the threads that build layers, in tests. */
  buildLayer?: (job: LayerJob) => Promise<void>;
  /** Called at every step of faults.ts. */
  fault?: ImageFault;
  /** Gives the RUN steps of a build a network; absent: they have none. */
  buildNetwork?: () => Promise<BuildNetwork>;
  /** Called after layers were removed: whoever has them mounted lets go. */
  onLayersRemoved?: () => void;
}

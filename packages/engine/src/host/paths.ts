/** Every host path and name of an engine, computed from its data directory; it creates nothing but the data directory itself. */
import { createHash } from 'node:crypto';
import { mkdirSync, realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import type { HostPaths } from '../ports/host.ts';

export const DEFAULT_DATA = '/var/lib/bulkhead';
export const DEFAULT_RUN = '/run/bulkhead';

/** Volatile directory defaults to `/run/bulkhead`, or `/run/bulkhead-<tag>` for another data directory. */
export function hostPaths(data: string = DEFAULT_DATA, run?: string): HostPaths {
  const wanted = resolve(data);
  let real = wanted;
  try {
    mkdirSync(wanted, { recursive: true, mode: 0o711 });
    real = realpathSync(wanted);
  } catch {
    // A read-only place: the state store reports it with a code; the names stay computable.
  }
  const tag = createHash('sha256').update(real).digest('hex').slice(0, 6);
  const defaultRun = wanted === DEFAULT_DATA ? DEFAULT_RUN : `${DEFAULT_RUN}-${tag}`;
  return { data: real, run: run === undefined ? defaultRun : resolve(run), tag };
}

export const socketPath = (paths: HostPaths): string => `${paths.run}/api.sock`;
export const databasePath = (paths: HostPaths): string => `${paths.data}/state.db`;
/** Persistent directory of an instance: log, writable layer, disk. */
export const instanceData = (paths: HostPaths, id: string): string => `${paths.data}/instances/${id}`;
/** Volatile directory of an instance: the OCI bundle. */
export const instanceRun = (paths: HostPaths, id: string): string => `${paths.run}/instances/${id}`;
export const logPath = (paths: HostPaths, id: string): string => `${paths.data}/instances/${id}/log`;
export const volumeData = (paths: HostPaths, name: string): string => `${paths.data}/volumes/${name}/_data`;
/** Below every controller of cgroup v1, or below the one tree of v2. */
export const cgroupPath = (paths: HostPaths, id: string): string => `/bulkhead-${paths.tag}/${id}`;

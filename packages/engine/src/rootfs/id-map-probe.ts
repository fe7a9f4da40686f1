/** Finds out by use whether this host can show a squashfs through an id map. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { MNT_DETACH, umount } from '../host/syscall.ts';
import type { HostPaths } from '../ports/host.ts';
import type { IdMap } from '../ports/rootfs.ts';
import { isMountPoint, LayerMounts } from './layer-mounts.ts';
import { openUserNamespace } from './user-namespace.ts';

const PROBE_LAYER = `sha256:${'0'.repeat(64)}`;

/** The descriptor of the user namespace to map by, or undefined where this host cannot (squashfs: Linux 6.2 on). */
export async function probeIdMap(paths: HostPaths, map: IdMap): Promise<number | undefined> {
  mkdirSync(paths.run, { recursive: true, mode: 0o711 });
  const directory = mkdtempSync(path.join(paths.run, 'probe-'));
  const layers = new LayerMounts({ ...paths, data: directory, run: directory });
  let namespace: number | undefined;
  try {
    makeProbeLayer(layers.file(PROBE_LAYER));
    namespace = await openUserNamespace(map);
    const mounted = layers.ensure(PROBE_LAYER, namespace);
    if (statSync(mounted).uid === map.hostId) return namespace;
  } catch {
    // The answer is no; why is for doctor, which runs the same probe by itself.
  } finally {
    release(path.join(directory, 'l', '0'.repeat(12)));
    rmSync(directory, { recursive: true, force: true });
  }
  if (namespace !== undefined) closeSync(namespace);
  return undefined;
}

function makeProbeLayer(file: string): void {
  mkdirSync(path.dirname(file), { recursive: true });
  const emptyTar = Buffer.alloc(1024);
  spawnSync('sqfstar', ['-quiet', '-no-progress', '-root-uid', '0', '-root-gid', '0', file], { input: emptyTar });
}

function release(mounted: string): void {
  if (isMountPoint(mounted)) umount(mounted, MNT_DETACH);
}

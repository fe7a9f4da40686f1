/** Finds out by use in which form this host can show a layer through an id map. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import type { HostPaths } from '../ports/host.ts';
import type { IdMap } from '../ports/rootfs.ts';
import { LayerMounts, type MappedForm } from './layer-mounts.ts';
import { openUserNamespace } from './user-namespace.ts';

const PROBE_LAYER = `sha256:${'0'.repeat(64)}`;

/** What an engine left that was killed while it tried something out: mounts, and folders of every kind of probe. */
export function sweepProbes(paths: HostPaths): void {
  for (const parent of [paths.run, paths.data]) {
    for (const name of readdirSync(parent).filter((each) => each.startsWith('probe-'))) {
      const folder = path.join(parent, name);
      try {
        new LayerMounts({ ...paths, data: folder, run: folder }).sweep({ all: true });
        rmSync(folder, { recursive: true, force: true });
      } catch {
        // A runtime that outlived the engine still writes there: the next start finds it.
      }
    }
  }
}

/** How this host shows layers to a user namespace, tried by use; undefined where it cannot at all. */
export async function probeIdMap(
  paths: HostPaths,
  map: IdMap,
  forms: readonly MappedForm['form'][] = ['mapped', 'shifted'],
): Promise<MappedForm | undefined> {
  mkdirSync(paths.run, { recursive: true, mode: 0o711 });
  let userNamespace: number | undefined;
  for (const form of forms) {
    const data = mkdtempSync(path.join(paths.data, 'probe-'));
    const run = mkdtempSync(path.join(paths.run, 'probe-'));
    const layers = new LayerMounts({ ...paths, data, run });
    try {
      makeProbeLayer(layers.file(PROBE_LAYER));
      userNamespace ??= await openUserNamespace(map);
      const found = { idMap: map, userNamespace, form };
      if (statSync(await layers.ensure(PROBE_LAYER, found)).uid === map.hostId) return found;
    } catch {
      // The answer is no; why is for doctor, which runs the same probe by itself.
    } finally {
      layers.sweep({ all: true });
      for (const directory of [data, run]) rmSync(directory, { recursive: true, force: true });
    }
  }
  if (userNamespace !== undefined) closeSync(userNamespace);
  return undefined;
}

function makeProbeLayer(file: string): void {
  mkdirSync(path.dirname(file), { recursive: true });
  const emptyTar = Buffer.alloc(1024);
  spawnSync('sqfstar', ['-noI', '-quiet', '-no-progress', '-root-uid', '0', '-root-gid', '0', file], {
    input: emptyTar,
  });
}

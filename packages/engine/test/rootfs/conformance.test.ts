import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hostPaths } from '@bulkhead/engine';
import { FakeRootfs } from '@bulkhead/testkit';
import { rootfsConformance } from '@bulkhead/testkit/rootfs-conformance';
import { OverlayRootfs } from '../../src/rootfs/overlay.ts';

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'bulkhead-rootfs-'));
  chmodSync(made, 0o711);
  return made;
}

rootfsConformance('the fake roots', (t) => {
  const base = folder();
  t.after(() => rmSync(base, { recursive: true, force: true }));
  return { rootfs: new FakeRootfs(hostPaths(join(base, 'data'), join(base, 'run'))), layers: [] };
});

rootfsConformance('overlays on squashfs', async (t) => {
  const base = folder();
  const paths = hostPaths(join(base, 'data'), join(base, 'run'));
  const rootfs = new OverlayRootfs({ paths });
  t.after(() => {
    rootfs.unmountAll();
    rmSync(base, { recursive: true, force: true });
  });
  mkdirSync(join(paths.data, 'layers'), { recursive: true, mode: 0o711 });
  await rootfs.init();
  const layer = `sha256:${'3'.repeat(64)}`;
  mkdirSync(join(base, 'image/bin'), { recursive: true });
  const tar = spawnSync('tar', ['-c', '-C', join(base, 'image'), '.']).stdout;
  const made = spawnSync('sqfstar', ['-quiet', '-no-progress', rootfs.layerFile(layer)], { input: tar });
  assert.equal(made.status, 0, made.stderr.toString());
  return { rootfs, layers: [layer] };
});

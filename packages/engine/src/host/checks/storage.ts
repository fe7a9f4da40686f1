/** Room for images, layers and disks, and whether the data directory takes a write. */
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Probe } from './probe.ts';

const GIB = 1 << 30;
const ENOUGH_BYTES = 5 * GIB;
const LEAST_BYTES = GIB / 2;

export function storageProbe(data: string): Probe {
  const means = 'nothing can be pulled, created or remembered';
  const fix = `Make ${data} writable, or give another directory with --data.`;
  return {
    name: 'data directory',
    means,
    fix,
    limitMs: 5000,
    run: async () => {
      const file = path.join(data, `.doctor-${process.pid}`);
      try {
        writeFileSync(file, 'probe', { flush: true });
      } finally {
        rmSync(file, { force: true });
      }
      const { bavail, bsize, files, ffree } = statfsSync(data);
      const freeBytes = bavail * bsize;
      const found = `${(freeBytes / GIB).toFixed(1)} GiB free at ${data}`;
      const room = `Free space with \`bulkhead image prune\`, or enlarge the disk.`;
      if (freeBytes < LEAST_BYTES) return { status: 'failed', found, means: 'pulls and writes will fail', fix: room };
      // btrfs counts no inodes: 0 of 0.
      if (files > 0 && ffree < 10_000)
        return {
          status: 'warning',
          found: `${found}, but only ${ffree} inodes`,
          means: 'new files will fail soon',
          fix: room,
        };
      if (freeBytes < ENOUGH_BYTES) return { status: 'warning', found, means: 'a few images will fill it', fix: room };
      return { status: 'ok', found, means: 'there is room for images and disks' };
    },
  };
}

/** Room for images, layers and disks, whether the data directory takes a write, and whether tasks can get to their roots in it. */
import { existsSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Probe } from './probe.ts';

const GIB = 1 << 30;
const ENOUGH_BYTES = 5 * GIB;
const LEAST_BYTES = GIB / 2;

/** The first directory on the way to `place` through which nobody else may go. */
function closedDirectory(place: string): string | undefined {
  for (let directory = place; directory !== '/'; directory = path.dirname(directory)) {
    if ((statSync(directory).mode & 0o001) === 0) return directory;
  }
  return undefined;
}

/** Root inside a user namespace is nobody outside, and has to come as far as its own root directory. */
export function reachProbe(places: string[]): Probe {
  const means = 'no container with a user namespace can start';
  const fix = 'Let others pass through the directories above the data and run directories (chmod o+x).';
  return {
    name: 'reach of the data directory',
    means,
    fix,
    limitMs: 2000,
    run: async () => {
      const closed = new Set(places.filter(existsSync).map(closedDirectory));
      closed.delete(undefined);
      if (closed.size === 0)
        return { status: 'ok', found: 'others may pass through', means: 'tasks reach their root directories' };
      const found = `only its owner may pass through ${[...closed].join(', ')}`;
      return { status: 'failed', found, means, fix: `chmod o+x ${[...closed].join(' ')}` };
    },
  };
}

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

/** Layers as plain directories, for kernels that map the ids of a directory but not of a squashfs (before Linux 6.2). */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { BulkheadError } from '@bulkhead/contract';

export class UnpackedLayers {
  readonly #root: string;

  constructor(data: string) {
    this.#root = path.join(data, 'unpacked');
  }

  /** From the prepared layer, which is verified and filtered already. Made once; whole or not at all. */
  ensure(hex: string, squashfs: string): string {
    const target = path.join(this.#root, hex);
    if (existsSync(target)) return target;
    const partial = `${target}.partial`;
    rmSync(partial, { recursive: true, force: true });
    mkdirSync(this.#root, { recursive: true, mode: 0o700 });
    const done = spawnSync('unsquashfs', ['-quiet', '-no-progress', '-dest', partial, squashfs], { encoding: 'utf8' });
    if (done.status !== 0) {
      rmSync(partial, { recursive: true, force: true });
      const full = /no space/i.test(done.stderr);
      throw new BulkheadError(
        full ? 'disk_full' : 'start_failed',
        `a layer could not be unpacked: ${done.stderr.trim()}`,
      );
    }
    renameSync(partial, target);
    return target;
  }

  /** Removes those whose layer is gone, and what a crash left half done. */
  sweep(known: (hex: string) => boolean): void {
    if (!existsSync(this.#root)) return;
    for (const name of readdirSync(this.#root))
      if (!known(name)) rmSync(path.join(this.#root, name), { recursive: true, force: true });
  }
}

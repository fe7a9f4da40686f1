/** Writable layers with a size limit: an ext4 image each, on a loop device that lives as long as the overlay above it. */
import { closeSync, existsSync, mkdirSync, realpathSync, rmdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { BulkheadError } from '@bulkhead/contract';
import { runCommand } from '../bundle/command.ts';
import { ext4Image } from '../host/ext4-image.ts';
import { MNT_DETACH, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, moveMount, newMount, umount } from '../host/syscall.ts';
import type { HostPaths } from '../ports/host.ts';
import { attachLoop, findLoop, type LoopDevice } from './loop-device.ts';
import { isMountPoint } from './mount-point.ts';

/** Writing back everything a large layer holds takes its time. */
const UNMOUNT_LIMIT_MS = 600_000;
/** Of e2fsck: errors that it could not mend. */
const UNCORRECTED = 4;

export class LimitedLayers {
  readonly #paths: HostPaths;

  constructor(paths: HostPaths) {
    this.#paths = paths;
  }

  /** The instance's writable layer is one with a limit. */
  has(id: string): boolean {
    return existsSync(this.#image(id));
  }

  /** Mounts it, of the size it was made with or `sizeBytes`; {@link hide} it as soon as the overlay is there. */
  async show(id: string, sizeBytes: number): Promise<string> {
    const place = this.#place(id);
    if (isMountPoint(place)) return place;
    const used = this.has(id);
    const image = realpathSync(await ext4Image(path.join(this.#paths.data, 'disks'), this.#image(id), sizeBytes));
    // Still in use where an unmount has not come to its end: then its own device shows it, and no second one.
    let loop = findLoop(image);
    if (loop === undefined) {
      if (used) await check(image);
      loop = attachLoop(image, { readOnly: false });
    }
    mountOn(loop, place);
    return place;
  }

  /** The overlay holds what it needs by itself, so that its unmount ends everything. */
  hide(id: string): void {
    const place = this.#place(id);
    while (isMountPoint(place)) umount(place, MNT_DETACH);
    if (existsSync(place)) rmdirSync(place);
  }

  /** Unmounts the overlay at `target`. In a process of its own, as the kernel writes everything back before it returns. */
  async unmountOverlay(target: string): Promise<void> {
    const done = await runCommand('umount', ['--lazy', target], UNMOUNT_LIMIT_MS);
    if (done.code !== 0) throw new Error(`${target} could not be unmounted: ${done.stderr.trim()}`);
  }

  /** With what a crash left half made. */
  discard(id: string): void {
    for (const file of [this.#image(id), `${this.#image(id)}.partial`]) rmSync(file, { force: true });
  }

  #image(id: string): string {
    return path.join(this.#paths.data, 'instances', id, 'writable.ext4');
  }

  #place(id: string): string {
    return path.join(this.#paths.run, 'instances', id, 'writable');
  }
}

function mountOn(loop: LoopDevice, place: string): void {
  try {
    const options: [string, string | null][] = [
      ['source', loop.path],
      // What is deleted inside becomes free outside.
      ['discard', null],
      ['noinit_itable', null],
    ];
    const detached = newMount('ext4', options, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID);
    try {
      mkdirSync(place, { recursive: true, mode: 0o700 });
      moveMount(detached, place);
    } finally {
      closeSync(detached);
    }
  } finally {
    closeSync(loop.fd);
  }
}

/** After a power cut. A clean one takes a few milliseconds. */
async function check(image: string): Promise<void> {
  const done = await runCommand('e2fsck', ['-p', image], UNMOUNT_LIMIT_MS);
  if (done.code >= UNCORRECTED)
    throw new BulkheadError('start_failed', `the writable layer ${image} is damaged: ${done.stderr}${done.stdout}`);
}

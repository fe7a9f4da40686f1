/** Each layer's squashfs, mounted once for all instances at `<run>/l/<12 hex>`. It never writes below a mount. */
import { closeSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import path from 'node:path';
import { BulkheadError } from '@bulkhead/contract';
import {
  MNT_DETACH,
  MOUNT_ATTR_IDMAP,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_RDONLY,
  mountSetattr,
  moveMount,
  newMount,
  umount,
} from '../host/syscall.ts';
import type { HostPaths } from '../ports/host.ts';
import type { IdMap } from '../ports/rootfs.ts';
import { attachLoop } from './loop-device.ts';
import { isMountPoint } from './mount-point.ts';
import { ShiftedLayers } from './shifted-layers.ts';

const DIFF_ID = /^sha256:([0-9a-f]{64})$/;

/** How this host shows a layer to a user namespace. */
export interface MappedForm {
  idMap: IdMap;
  /** Descriptor of a user namespace with this map. */
  userNamespace: number;
  /** By the kernel, or by a copy with other ids in it. */
  form: 'mapped' | 'shifted';
}

export class LayerMounts {
  readonly #paths: HostPaths;
  readonly #shifted: ShiftedLayers;

  constructor(paths: HostPaths) {
    this.#paths = paths;
    this.#shifted = new ShiftedLayers(paths.data);
  }

  file(layer: string): string {
    return path.join(this.#paths.data, 'layers', `${hexOf(layer)}.sqfs`);
  }

  /** The directory where `layer` is mounted, its ids mapped where `map` is given. Idempotent. */
  async ensure(layer: string, map?: MappedForm): Promise<string> {
    const target = path.join(this.#root, hexOf(layer).slice(0, 12));
    if (isMountPoint(target)) return target;
    const file = this.file(layer);
    if (!existsSync(file)) throw new BulkheadError('no_such_image', `the layer ${layer} is not in the store`);
    if (map?.form === 'shifted') {
      const copy = await this.#shifted.ensure(hexOf(layer), file, map.idMap);
      // Somebody else may have waited for the same copy.
      if (!isMountPoint(target)) this.#attach(copy, target, undefined);
    } else this.#attach(file, target, map?.userNamespace);
    return target;
  }

  /** Unmounts the layers whose file is gone and that no overlay shows any more; with `all`, every one. */
  sweep(options: { all: boolean }): void {
    if (!existsSync(this.#root)) return;
    const files = this.#files();
    const shown = this.#shown();
    for (const name of readdirSync(this.#root)) {
      const target = path.join(this.#root, name);
      if (!options.all && (files.has(name) || shown.has(name))) continue;
      if (isMountPoint(target)) umount(target, MNT_DETACH);
      rmdirSync(target);
    }
    this.#shifted.sweep((short) => files.has(short));
  }

  get #root(): string {
    return path.join(this.#paths.run, 'l');
  }

  #attach(file: string, target: string, userNamespace: number | undefined): void {
    mkdirSync(target, { recursive: true, mode: 0o711 });
    const loop = attachLoop(file, { readOnly: true });
    try {
      const attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV;
      const detached = newMount(
        'squashfs',
        [
          ['source', loop.path],
          ['ro', null],
        ],
        attributes,
      );
      try {
        if (userNamespace !== undefined) mountSetattr(detached, MOUNT_ATTR_IDMAP, userNamespace);
        moveMount(detached, target);
      } finally {
        closeSync(detached);
      }
    } finally {
      closeSync(loop.fd);
    }
  }

  #files(): Set<string> {
    const directory = path.join(this.#paths.data, 'layers');
    return new Set(existsSync(directory) ? readdirSync(directory).map((name) => name.slice(0, 12)) : []);
  }

  /** Short names of the layers in some overlay's `lowerdir` on this host. */
  #shown(): Set<string> {
    const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
    const options = lines.map((line) => line.split(' - overlay ')[1] ?? '').join('\n');
    const below = options.split(`${this.#root}/`).slice(1);
    return new Set(below.map((rest) => rest.slice(0, 12)));
  }
}

function hexOf(layer: string): string {
  const hex = DIFF_ID.exec(layer)?.[1];
  if (hex === undefined)
    throw new BulkheadError('invalid_manifest', `${JSON.stringify(layer)} is not a layer's diff id`);
  return hex;
}

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
import { attachLoop } from './loop-device.ts';
import { mountMapped } from './mapped-tree.ts';
import { isListedMount, isMountPoint } from './mount-point.ts';
import { UnpackedLayers } from './unpacked-layers.ts';

const DIFF_ID = /^sha256:([0-9a-f]{64})$/;

/** How this host shows a layer to a user namespace. */
export interface MappedForm {
  /** Descriptor. */
  userNamespace: number;
  form: 'squashfs' | 'directory';
}

export class LayerMounts {
  readonly #paths: HostPaths;
  readonly #unpacked: UnpackedLayers;
  /** Known to be mounted, in the form of directories. */
  readonly #mapped = new Set<string>();

  constructor(paths: HostPaths) {
    this.#paths = paths;
    this.#unpacked = new UnpackedLayers(paths.data);
  }

  file(layer: string): string {
    return path.join(this.#paths.data, 'layers', `${hexOf(layer)}.sqfs`);
  }

  /** The directory where `layer` is mounted, seen through the map's user namespace where given. Idempotent. */
  ensure(layer: string, map?: MappedForm): string {
    const target = path.join(this.#root, hexOf(layer).slice(0, 12));
    if (isMountPoint(target) || this.#mapped.has(target)) return target;
    if (map?.form === 'directory' && isListedMount(target)) {
      this.#mapped.add(target);
      return target;
    }
    const file = this.file(layer);
    if (!existsSync(file)) throw new BulkheadError('no_such_image', `the layer ${layer} is not in the store`);
    mkdirSync(target, { recursive: true, mode: 0o711 });
    if (map?.form === 'directory') {
      const source = this.#unpacked.ensure(hexOf(layer), file);
      const { userNamespace } = map;
      mountMapped({ source, target, userNamespace, readOnly: true, recursive: false, noSetuid: false });
      this.#mapped.add(target);
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
      if (isMountPoint(target) || isListedMount(target)) umount(target, MNT_DETACH);
      this.#mapped.delete(target);
      rmdirSync(target);
    }
    // A mount that is let go lives on below an overlay; the directory it shows must, too.
    const needed = (short: string): boolean => files.has(short) || shown.has(short);
    this.#unpacked.sweep((name) => /^[0-9a-f]{64}$/.test(name) && needed(name.slice(0, 12)));
  }

  get #root(): string {
    return path.join(this.#paths.run, 'l');
  }

  #attach(file: string, target: string, userNamespace: number | undefined): void {
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

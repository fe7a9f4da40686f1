/** Root file systems as overlays: shared squashfs layers below, a writable directory per instance on top. Mounts without spawning. */
import { chownSync, closeSync, existsSync, mkdirSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { BulkheadError } from '@bulkhead/contract';
import { MNT_DETACH, MOUNT_ATTR_NODEV, MS_NODEV, mount, moveMount, newMount, umount } from '../host/syscall.ts';
import type { HostPaths } from '../ports/host.ts';
import type { IdMap, RootfsStore } from '../ports/rootfs.ts';
import { ensureDirectoryBelow, readFileBelow } from './confined.ts';
import { probeIdMap, sweepProbes } from './id-map-probe.ts';
import { LayerMounts, type MappedForm } from './layer-mounts.ts';
import { LimitedLayers } from './limited-layers.ts';
import { isMountPoint } from './mount-point.ts';
import { listed, mountTree, removeTrees } from './shown-tree.ts';

const DEFAULT_MAP: IdMap = { hostId: 100_000, count: 65_536 };
const INSTANCE_ID = /^[0-9a-f]{32}$/;
/** mount(2) takes one page of options, with its closing zero. */
const OPTIONS_MAX_BYTES = 4095;

export interface OverlayRootfsOptions {
  paths: HostPaths;
  /** The range of every instance at container level. */
  idMap?: IdMap;
  /** Only these, for tests; the first that works is taken. */
  forms?: readonly MappedForm['form'][];
}

export class OverlayRootfs implements RootfsStore {
  readonly #paths: HostPaths;
  readonly #layers: LayerMounts;
  readonly #limited: LimitedLayers;
  readonly #wantedMap: IdMap;
  readonly #forms: readonly MappedForm['form'][] | undefined;
  #form: MappedForm | undefined;

  constructor(options: OverlayRootfsOptions) {
    this.#paths = options.paths;
    this.#layers = new LayerMounts(options.paths);
    this.#limited = new LimitedLayers(options.paths);
    this.#wantedMap = options.idMap ?? DEFAULT_MAP;
    this.#forms = options.forms;
  }

  /** Finds out by use in which form this kernel maps the ids of a layer. Call once, before anything else. */
  async init(): Promise<void> {
    mkdirSync(path.join(this.#paths.run, 'instances'), { recursive: true, mode: 0o711 });
    sweepProbes(this.#paths);
    this.#form = await probeIdMap(this.#paths, this.#wantedMap, this.#forms);
  }

  idMap(): IdMap | undefined {
    return this.#form === undefined ? undefined : this.#wantedMap;
  }

  async mount(id: string, layers: string[], writableBytes = 0): Promise<string> {
    const target = this.#target(id);
    if (isMountPoint(target)) return target;
    mkdirSync(target, { recursive: true, mode: 0o711 });
    const lower: string[] = [];
    for (const layer of layers) lower.unshift(await this.#layers.ensure(layer, this.#form));
    if (lower.length === 0) lower.push(this.#emptyLayer());
    const instance = this.#instance(id);
    const limited = this.#limited.has(id) || (writableBytes > 0 && !existsSync(path.join(instance, 'upper')));
    if (!limited) this.#overlay(lower, this.#writable(instance), target);
    else
      try {
        this.#overlay(lower, this.#writable(await this.#limited.show(id, writableBytes)), target);
      } finally {
        this.#limited.hide(id);
      }
    return target;
  }

  showTree(id: string, source: string, options: { readOnly: boolean; hostOwners: boolean }): string | undefined {
    if (this.#form === undefined) return undefined;
    const { readOnly, hostOwners } = options;
    const folder = this.#trees(id);
    const target = path.join(folder, String(listed(folder).length));
    try {
      mountTree({ source, target, userNamespace: hostOwners ? this.#form.userNamespace : undefined, readOnly });
      return target;
    } catch {
      // A file system that maps no ids, there or below it.
      return undefined;
    }
  }

  async unmount(id: string): Promise<void> {
    removeTrees(this.#trees(id));
    const target = this.#target(id);
    const limited = this.#limited.has(id);
    while (isMountPoint(target))
      if (limited) await this.#limited.unmountOverlay(target);
      else umount(target, MNT_DETACH);
    this.#limited.hide(id);
    if (existsSync(target)) rmdirSync(target);
  }

  async discard(id: string): Promise<void> {
    const directory = this.#instance(id);
    if (isMountPoint(this.#target(id))) throw new Error(`instance ${id} is still mounted`);
    for (const name of ['upper', 'work']) rmSync(path.join(directory, name), { recursive: true, force: true });
    this.#limited.discard(id);
  }

  async readFile(root: string, file: string, maxBytes: number): Promise<Buffer | undefined> {
    return readFileBelow(root, file, maxBytes);
  }

  async ensureDirectory(root: string, directory: string): Promise<string> {
    return ensureDirectoryBelow(root, directory, this.idMap()?.hostId ?? 0);
  }

  layerFile(layer: string): string {
    return this.#layers.file(layer);
  }

  layerFormat(): 'squashfs' {
    return 'squashfs';
  }

  async leftovers(): Promise<string[]> {
    const mounted = listIds(path.join(this.#paths.run, 'instances')).filter((id) => isMountPoint(this.#target(id)));
    const written = listIds(path.join(this.#paths.data, 'instances')).filter(
      (id) =>
        this.#limited.has(id) || ['upper', 'work'].some((name) => existsSync(path.join(this.#instance(id), name))),
    );
    return [...new Set([...mounted, ...written])];
  }

  /** Lets go of layers that were removed from the store; call it after images were removed. */
  releaseUnused(): void {
    this.#layers.sweep({ all: false });
  }

  /** Unmounts every layer; overlays that still run keep theirs. */
  unmountAll(): void {
    this.#layers.sweep({ all: true });
  }

  #target(id: string): string {
    return path.join(this.#paths.run, 'instances', checkedId(id), 'rootfs');
  }

  /** Where what is bound into the instance is shown. */
  #trees(id: string): string {
    return path.join(this.#paths.run, 'instances', checkedId(id), 'trees');
  }

  #instance(id: string): string {
    return path.join(this.#paths.data, 'instances', checkedId(id));
  }

  #emptyLayer(): string {
    const directory = path.join(this.#paths.run, 'l', 'empty');
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    return directory;
  }

  #writable(folder: string): { upper: string; work: string } {
    const upper = path.join(folder, 'upper');
    const work = path.join(folder, 'work');
    const owner = this.idMap()?.hostId ?? 0;
    try {
      if (!existsSync(upper)) {
        mkdirSync(upper, { recursive: true, mode: 0o755 });
        chownSync(upper, owner, owner);
      }
      mkdirSync(work, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw asStorageError(error, upper);
    }
    return { upper, work };
  }

  #overlay(lower: string[], writable: { upper: string; work: string }, target: string): void {
    const data = `lowerdir=${lower.map(escaped).join(':')},upperdir=${escaped(writable.upper)},workdir=${escaped(writable.work)}`;
    if (Buffer.byteLength(data) <= OPTIONS_MAX_BYTES) {
      mount('overlay', target, 'overlay', MS_NODEV, data);
      return;
    }
    const options = lower.map((directory): [string, string] => ['lowerdir+', directory]);
    options.push(['upperdir', writable.upper], ['workdir', writable.work]);
    const detached = newMount('overlay', options, MOUNT_ATTR_NODEV);
    try {
      moveMount(detached, target);
    } finally {
      closeSync(detached);
    }
  }
}

/** Overlay's own separators inside a path are escaped by a backslash. */
function escaped(directory: string): string {
  return directory.replace(/[\\:,]/g, (character) => `\\${character}`);
}

function checkedId(id: string): string {
  if (!INSTANCE_ID.test(id)) throw new Error(`${JSON.stringify(id)} is not an instance id`);
  return id;
}

function listIds(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory).filter((name) => INSTANCE_ID.test(name)) : [];
}

function asStorageError(error: unknown, subject: string): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new BulkheadError('disk_full', `no space left for ${subject}`, { cause: error });
  if (code === 'EROFS')
    return new BulkheadError('read_only', `${subject} cannot be made: read-only file system`, { cause: error });
  return error;
}

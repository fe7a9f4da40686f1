/** One pull from a registry: resolve, download with progress per layer, and prepare each layer as soon as it has landed. */
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { BulkheadError } from '@bulkhead/contract';
import type { OnProgress, PullOptions } from '../ports/images.ts';
import { type BlobStore, digestOf } from './blob-store.ts';
import type { ImageFault } from './faults.ts';
import type { LayerStore } from './layer-store.ts';
import {
  CONFIG_MAX_BYTES,
  type Descriptor,
  hostPlatform,
  type ImageManifest,
  MANIFEST_MAX_BYTES,
  parseConfig,
  parseManifest,
  parsePlatform,
  selectPlatform,
} from './manifest.ts';
import { OciLayout } from './oci-layout.ts';
import { exactName, type ImageName, isLoopback, repositoryOf } from './reference.ts';
import { type SkopeoRun, skopeo } from './skopeo.ts';

export interface PullParts {
  blobs: BlobStore;
  layers: LayerStore;
  temporary: string;
  stallMs: number;
  fault: ImageFault;
}

export interface Pulled {
  manifestDigest: string;
  /** What the registry answered to the name: the index's digest for a multi-architecture image. */
  namedDigest: string;
}

export class RegistryPull {
  readonly #parts: PullParts;
  readonly #name: ImageName;
  readonly #options: PullOptions;
  readonly #progress: OnProgress;
  readonly #abort = new AbortController();
  readonly #building = new Map<string, Promise<void>>();
  #diffIds: string[] = [];

  constructor(parts: PullParts, name: ImageName, options: PullOptions) {
    this.#parts = parts;
    this.#name = name;
    this.#options = options;
    this.#progress = options.onProgress ?? (() => {});
  }

  async run(): Promise<Pulled> {
    const forward = (): void => this.#abort.abort(this.#options.signal?.reason);
    this.#options.signal?.addEventListener('abort', forward);
    try {
      this.#options.signal?.throwIfAborted();
      this.#progress({ phase: 'resolving', message: exactName(this.#name) });
      const resolved = await this.#resolve();
      this.#parts.fault('image.manifest');
      await this.#fetch(resolved.manifest, resolved.manifestDigest);
      return resolved;
    } finally {
      this.#options.signal?.removeEventListener('abort', forward);
      await Promise.allSettled(this.#building.values());
    }
  }

  async #resolve(): Promise<Pulled & { manifest: ImageManifest }> {
    const named = await this.#inspect(exactName(this.#name));
    const namedDigest = digestOf(named);
    if (this.#name.digest !== undefined && namedDigest !== this.#name.digest) {
      throw new BulkheadError('digest_mismatch', `${exactName(this.#name)}: the registry answers with ${namedDigest}`);
    }
    const first = parseManifest(named);
    if (first.kind === 'image') {
      return { manifest: first, manifestDigest: await this.#parts.blobs.put(named), namedDigest };
    }
    const wanted = this.#options.platform === undefined ? hostPlatform() : parsePlatform(this.#options.platform);
    const entry = selectPlatform(first.entries, wanted);
    const bytes = await this.#inspect(`${repositoryOf(this.#name)}@${entry.digest}`);
    if (digestOf(bytes) !== entry.digest || bytes.length !== entry.sizeBytes) {
      throw new BulkheadError('digest_mismatch', `${exactName(this.#name)}: a manifest is not what its index promises`);
    }
    const manifest = parseManifest(bytes);
    if (manifest.kind !== 'image') throw new BulkheadError('invalid_manifest', 'an index leads to another index');
    return { manifest, manifestDigest: await this.#parts.blobs.put(bytes), namedDigest };
  }

  async #fetch(manifest: ImageManifest, digest: string): Promise<void> {
    const { blobs } = this.#parts;
    const missing = manifest.layers.filter((layer) => !blobs.has(layer.digest, layer.sizeBytes));
    const source = `${repositoryOf(this.#name)}@${digest}`;
    const config = this.#config(manifest, source);
    config.catch((error) => this.#abort.abort(error));
    try {
      if (missing.length > 0) await this.#download(manifest, source, config);
      await config;
    } catch (error) {
      throw this.#abort.signal.reason instanceof BulkheadError ? this.#abort.signal.reason : error;
    }
    this.#buildLanded(manifest);
    await Promise.all(this.#building.values());
  }

  /** The configuration comes first and beside: it has the diff ids that layers are built against. */
  async #config(manifest: ImageManifest, source: string): Promise<void> {
    const { blobs } = this.#parts;
    const { digest, sizeBytes } = manifest.config;
    if (sizeBytes > CONFIG_MAX_BYTES)
      throw new BulkheadError('invalid_manifest', 'the image configuration is too large');
    if (!blobs.has(digest, sizeBytes)) {
      const bytes = await this.#inspect(source, ['--config']);
      const exact = [bytes, bytes.subarray(0, sizeBytes)].find((candidate) => digestOf(candidate) === digest);
      if (exact === undefined) {
        throw new BulkheadError('digest_mismatch', `${source}: the configuration is not ${digest} as promised`);
      }
      await blobs.put(exact);
    }
    this.#parts.fault('image.config');
    this.#diffIds = parseConfig(await blobs.read(digest, CONFIG_MAX_BYTES), manifest.layers.length).diffIds;
    this.#buildLanded(manifest);
  }

  async #download(manifest: ImageManifest, source: string, config: Promise<void>): Promise<void> {
    const layout = await OciLayout.make(this.#parts.temporary);
    const watch = new LayerWatch(layout.directory, this.#parts.blobs, manifest.layers, this.#progress);
    const flags = ['--dest-shared-blob-dir', this.#parts.blobs.directory, '--dest-oci-accept-uncompressed-layers'];
    try {
      await skopeo(['copy', '--quiet', ...flags, ...this.#access('--src-'), `docker://${source}`, layout.reference], {
        ...this.#run(),
        progress: () => {
          this.#buildLanded(manifest);
          return watch.look();
        },
      });
      this.#parts.fault('image.downloaded');
      await config;
    } finally {
      layout.remove();
    }
  }

  /** Starts to build the layers whose blob has landed; skopeo gives a blob its name when it is whole. */
  #buildLanded(manifest: ImageManifest): void {
    for (const [index, diffId] of this.#diffIds.entries()) {
      const blob = manifest.layers[index]!;
      if (this.#building.has(diffId) || !this.#parts.blobs.has(blob.digest)) continue;
      const there = this.#parts.layers.has(diffId);
      if (!there) this.#progress({ phase: 'unpacking', layer: blob.digest });
      const building = this.#parts.layers.ensure(diffId, blob).then(() => {
        this.#progress({ phase: 'done', layer: blob.digest, totalBytes: blob.sizeBytes });
      });
      building.catch((error) => this.#abort.abort(error));
      this.#building.set(diffId, building);
    }
  }

  #inspect(source: string, flags: string[] = []): Promise<Buffer> {
    const maxOutputBytes = flags.length > 0 ? CONFIG_MAX_BYTES + 1024 : MANIFEST_MAX_BYTES + 1024;
    const args = ['inspect', '--raw', ...flags, ...this.#access('--'), `docker://${source}`];
    return skopeo(args, { ...this.#run(), maxOutputBytes });
  }

  #run(): SkopeoRun {
    const subject = exactName(this.#name);
    return { subject, registry: true, signal: this.#abort.signal, stallMs: this.#parts.stallMs };
  }

  #access(prefix: '--' | '--src-'): string[] {
    return accessFlags(prefix, this.#name, this.#options);
  }
}

export function accessFlags(prefix: '--' | '--src-' | '--dest-', name: ImageName, options: PullOptions): string[] {
  const insecure = options.insecure === true || isLoopback(name.registry);
  const auth = options.authFile === undefined ? [] : ['--authfile', options.authFile];
  return [...(insecure ? [`${prefix}tls-verify=false`] : []), ...auth];
}

/**
 * How far each layer is. skopeo downloads into files of its own naming, starting with the lowest layers; the oldest file is
 * taken for the first layer that is neither there nor taken. So sums are exact and the split among running ones an estimate.
 */
class LayerWatch {
  readonly #directory: string;
  readonly #blobs: BlobStore;
  readonly #layers: Descriptor[];
  readonly #progress: OnProgress;
  readonly #reported = new Map<string, number>();

  constructor(directory: string, blobs: BlobStore, layers: Descriptor[], progress: OnProgress) {
    this.#directory = directory;
    this.#blobs = blobs;
    this.#layers = [...new Map(layers.map((layer) => [layer.digest, layer])).values()];
    this.#progress = progress;
  }

  /** Reports what has changed; returns the bytes there are. A file larger than any layer ends the pull. */
  look(): number {
    const coming = this.#growing();
    const most = Math.max(...this.#layers.map((layer) => layer.sizeBytes), CONFIG_MAX_BYTES);
    if (coming.some((bytes) => bytes > most)) {
      throw new BulkheadError('digest_mismatch', 'the registry sends more bytes than the manifest promises');
    }
    let total = 0;
    for (const layer of this.#layers) {
      const landed = this.#blobs.has(layer.digest);
      const current = landed ? layer.sizeBytes : Math.min(coming.shift() ?? 0, layer.sizeBytes);
      total += current;
      this.#report(layer, current, landed);
    }
    return total;
  }

  #report(layer: Descriptor, currentBytes: number, landed: boolean): void {
    const before = this.#reported.get(layer.digest);
    if (before === currentBytes || (before === undefined && currentBytes === 0)) return;
    this.#reported.set(layer.digest, currentBytes);
    const phase = landed ? 'verifying' : 'downloading';
    this.#progress({ phase, layer: layer.digest, currentBytes, totalBytes: layer.sizeBytes });
  }

  #growing(): number[] {
    const files = readdirSync(this.#directory)
      .filter((name) => name.startsWith('oci-put-blob'))
      .flatMap((name) => statSync(path.join(this.#directory, name), { throwIfNoEntry: false }) ?? []);
    return files.sort((a, b) => a.birthtimeMs - b.birthtimeMs).map((file) => file.size);
  }
}

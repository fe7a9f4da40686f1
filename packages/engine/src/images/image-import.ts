/** Makes an image out of a manifest whose blobs are in the store: checks it, prepares its layers, records it. */
import { BulkheadError } from '@bulkhead/contract';
import type { ImageRecord, OnProgress } from '../ports/images.ts';
import type { BlobStore } from './blob-store.ts';
import type { ImageRecords } from './image-records.ts';
import type { LayerStore } from './layer-store.ts';
import {
  CONFIG_MAX_BYTES,
  hostPlatform,
  type ImageManifest,
  MANIFEST_MAX_BYTES,
  type Platform,
  parseConfig,
  parseManifest,
  selectPlatform,
} from './manifest.ts';

export interface Names {
  tags: string[];
  repoDigests: string[];
}

export class ImageImport {
  readonly #blobs: BlobStore;
  readonly #layers: LayerStore;
  readonly #records: ImageRecords;

  constructor(blobs: BlobStore, layers: LayerStore, records: ImageRecords) {
    this.#blobs = blobs;
    this.#layers = layers;
    this.#records = records;
  }

  async add(digest: string, names: Names, onProgress: OnProgress, platform?: Platform): Promise<ImageRecord> {
    const { manifest, manifestDigest } = await this.#image(digest, platform ?? hostPlatform());
    const configBytes = await this.#blobs.read(manifest.config.digest, CONFIG_MAX_BYTES);
    const parsed = parseConfig(configBytes, manifest.layers.length);
    for (const layer of manifest.layers) {
      if (!this.#blobs.has(layer.digest)) {
        throw new BulkheadError('invalid_manifest', `the image lacks its layer ${layer.digest}`);
      }
    }
    const prepared = manifest.layers.map(async (layer, index) => {
      const diffId = parsed.diffIds[index]!;
      if (this.#layers.has(diffId)) return;
      onProgress({ phase: 'unpacking', layer: layer.digest });
      await this.#layers.ensure(diffId, layer);
      onProgress({ phase: 'done', layer: layer.digest, totalBytes: layer.sizeBytes });
    });
    const failed = (await Promise.allSettled(prepared)).find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    const sizes = [...new Set(parsed.diffIds)].map((diffId) => this.#layers.sizeBytes(diffId));
    return this.#records.add({
      id: manifest.config.digest,
      manifestDigest,
      tags: names.tags,
      repoDigests: names.repoDigests,
      architecture: parsed.architecture,
      os: parsed.os,
      createdAt: parsed.createdAt,
      sizeBytes: sizes.reduce((sum, bytes) => sum + bytes, 0),
      layers: parsed.diffIds,
      config: parsed.config,
    });
  }

  async #image(digest: string, platform: Platform): Promise<{ manifest: ImageManifest; manifestDigest: string }> {
    const manifest = parseManifest(await this.#blobs.read(digest, MANIFEST_MAX_BYTES));
    if (manifest.kind === 'image') return { manifest, manifestDigest: digest };
    const entry = selectPlatform(manifest.entries, platform);
    const inner = parseManifest(await this.#blobs.read(entry.digest, MANIFEST_MAX_BYTES));
    if (inner.kind === 'index') throw new BulkheadError('invalid_manifest', 'an index leads to another index');
    return { manifest: inner, manifestDigest: entry.digest };
  }
}

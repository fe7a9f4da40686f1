/** Finds and removes blobs and layers that no image needs. It never runs beside anything that adds. */
import type { ImageRecord } from '../ports/images.ts';
import type { BlobStore } from './blob-store.ts';
import type { LayerStore } from './layer-store.ts';
import { MANIFEST_MAX_BYTES, parseManifest } from './manifest.ts';

/** Bytes freed. `keptLayers` are needed by others than images: instances that still run. */
export async function collectGarbage(
  images: ImageRecord[],
  blobs: BlobStore,
  layers: LayerStore,
  keptLayers: ReadonlySet<string>,
): Promise<number> {
  const neededBlobs = new Set<string>();
  const neededLayers = new Set(keptLayers);
  for (const image of images) {
    for (const layer of image.layers) neededLayers.add(layer);
    for (const digest of await blobsOf(image, blobs)) neededBlobs.add(digest);
  }
  let freedBytes = 0;
  for (const digest of blobs.list()) if (!neededBlobs.has(digest)) freedBytes += await blobs.remove(digest);
  for (const diffId of layers.list()) if (!neededLayers.has(diffId)) freedBytes += await layers.remove(diffId);
  return freedBytes;
}

async function blobsOf(image: ImageRecord, blobs: BlobStore): Promise<string[]> {
  const manifest = parseManifest(await blobs.read(image.manifestDigest, MANIFEST_MAX_BYTES));
  const inner = manifest.kind === 'image' ? [manifest.config, ...manifest.layers] : manifest.entries;
  return [image.manifestDigest, image.id, ...inner.map((part) => part.digest)];
}

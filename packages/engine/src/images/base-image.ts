/** An image as buildah can build upon it: buildah refuses one whose configuration has no history, which OCI leaves optional. */
import type { ImageRecord } from '../ports/images.ts';
import type { BlobStore } from './blob-store.ts';
import { CONFIG_MAX_BYTES, MANIFEST_MAX_BYTES } from './manifest.ts';

/** Digest of the manifest to build upon: the image's own, or one like it with a history for each layer. */
export async function baseManifest(record: ImageRecord, blobs: BlobStore): Promise<string> {
  const config = JSON.parse((await blobs.read(record.id, CONFIG_MAX_BYTES)).toString('utf8'));
  const history: { empty_layer?: boolean }[] = Array.isArray(config.history) ? config.history : [];
  if (history.filter((step) => step.empty_layer !== true).length === record.layers.length) return record.manifestDigest;
  const created = new Date(record.createdAt).toISOString();
  const filled = Buffer.from(JSON.stringify({ ...config, history: record.layers.map(() => ({ created })) }));
  const manifest = JSON.parse((await blobs.read(record.manifestDigest, MANIFEST_MAX_BYTES)).toString('utf8'));
  manifest.config = { ...manifest.config, digest: await blobs.put(filled), size: filled.length };
  return blobs.put(Buffer.from(JSON.stringify(manifest)));
}

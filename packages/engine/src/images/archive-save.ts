/** Writes images as one tar that streams out of the store; a docker-archive is an oci-archive with one document more. */
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import type { ImageRecord } from '../ports/images.ts';
import type { BlobStore } from './blob-store.ts';
import { type Descriptor, MANIFEST_MAX_BYTES, parseManifest } from './manifest.ts';
import { indexOf, layoutMarker } from './oci-layout.ts';
import { END_OF_ARCHIVE, formatHeader, padding } from './tar-format.ts';

export interface Saved {
  record: ImageRecord;
  tags: string[];
}

interface Plan {
  blobs: Map<string, number>;
  index: (Descriptor & { name?: string })[];
  docker: { Config: string; RepoTags: string[]; Layers: string[] }[];
}

export async function saveArchive(
  images: Saved[],
  format: 'docker-archive' | 'oci-archive',
  blobs: BlobStore,
): Promise<Readable> {
  const plan: Plan = { blobs: new Map(), index: [], docker: [] };
  for (const image of images) await addImage(plan, image, blobs);
  return Readable.from(archive(plan, format, blobs), { objectMode: false });
}

async function addImage(plan: Plan, { record, tags }: Saved, blobs: BlobStore): Promise<void> {
  const bytes = await blobs.read(record.manifestDigest, MANIFEST_MAX_BYTES);
  const manifest = parseManifest(bytes);
  if (manifest.kind !== 'image') throw new Error(`${record.id} is stored as an index`);
  const own = { digest: record.manifestDigest, sizeBytes: bytes.length, mediaType: manifest.mediaType };
  for (const part of [own, manifest.config, ...manifest.layers]) plan.blobs.set(part.digest, part.sizeBytes);
  for (const name of tags.length > 0 ? tags : [undefined])
    plan.index.push({ ...own, ...(name === undefined ? {} : { name }) });
  plan.docker.push({
    Config: blobName(record.id),
    RepoTags: tags,
    Layers: manifest.layers.map((layer) => blobName(layer.digest)),
  });
}

function blobName(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`;
}

async function* archive(
  plan: Plan,
  format: 'docker-archive' | 'oci-archive',
  blobs: BlobStore,
): AsyncGenerator<Buffer> {
  yield document('oci-layout', layoutMarker());
  yield document('index.json', indexOf(plan.index));
  if (format === 'docker-archive') yield document('manifest.json', JSON.stringify(plan.docker));
  for (const [digest, sizeBytes] of plan.blobs) {
    yield header(blobName(digest), sizeBytes);
    let sent = 0;
    for await (const chunk of createReadStream(blobs.path(digest), { highWaterMark: 256 * 1024 })) {
      sent += (chunk as Buffer).length;
      yield chunk as Buffer;
    }
    if (sent !== sizeBytes) throw new Error(`blob ${digest} changed while it was read`);
    yield Buffer.alloc(padding(sizeBytes));
  }
  yield END_OF_ARCHIVE;
}

function header(name: string, sizeBytes: number): Buffer {
  const plain = { linkName: '', mode: 0o644, uid: 0, gid: 0, mtime: 0, deviceMajor: 0, deviceMinor: 0 };
  return formatHeader({ kind: 'file', name, sizeBytes, ...plain, xattrs: new Map() });
}

function document(name: string, text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([header(name, bytes.length), bytes, Buffer.alloc(padding(bytes.length))]);
}

/** Writes images as one tar that streams out of the store; a docker-archive is an oci-archive with one document more. */
import { type FileHandle, open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { ImageRecord } from '../ports/images.ts';
import type { BlobStore } from './blob-store.ts';
import { type Descriptor, MANIFEST_MAX_BYTES, parseManifest } from './manifest.ts';
import { indexOf, layoutMarker } from './oci-layout.ts';
import { END_OF_ARCHIVE, formatHeader, padding } from './tar-format.ts';

const CHUNK_BYTES = 256 * 1024;

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
  const files = await openAll([...plan.blobs.keys()], blobs);
  const stream = Readable.from(archive(plan, format, files), { objectMode: false });
  stream.once('close', () => void closeAll(files));
  return stream;
}

/** An open file stays whole when a collector removes its name: the receiver may take all the time in the world. */
async function openAll(digests: string[], blobs: BlobStore): Promise<Map<string, FileHandle>> {
  const files = new Map<string, FileHandle>();
  try {
    for (const digest of digests) files.set(digest, await open(blobs.path(digest)));
    return files;
  } catch (error) {
    await closeAll(files);
    throw error;
  }
}

async function closeAll(files: Map<string, FileHandle>): Promise<void> {
  for (const file of files.values()) await file.close().catch(() => {});
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
  files: Map<string, FileHandle>,
): AsyncGenerator<Buffer> {
  yield document('oci-layout', layoutMarker());
  yield document('index.json', indexOf(plan.index));
  if (format === 'docker-archive') yield document('manifest.json', JSON.stringify(plan.docker));
  for (const [digest, sizeBytes] of plan.blobs) {
    yield header(blobName(digest), sizeBytes);
    let sent = 0;
    const file = files.get(digest);
    while (file !== undefined && sent < sizeBytes) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, sent);
      if (bytesRead === 0) break;
      sent += bytesRead;
      yield buffer.subarray(0, bytesRead);
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

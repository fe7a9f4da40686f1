/** Takes images in from archives, layouts and the Docker daemon: their blobs go into the store, their manifests are named. */
import { createReadStream, existsSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { BulkheadError } from '@bulkhead/contract';
import type { PullOptions } from '../ports/images.ts';
import { BlobFiles, SmallFiles } from './archive-files.ts';
import type { BlobStore } from './blob-store.ts';
import { parseManifest } from './manifest.ts';
import { OciLayout } from './oci-layout.ts';
import { parseName, type Source, tagOf } from './reference.ts';
import { skopeo } from './skopeo.ts';
import { rejected } from './tar-format.ts';
import { TarReader } from './tar-reader.ts';

export interface LoaderParts {
  blobs: BlobStore;
  temporary: string;
  stallMs: number;
  /** Where Docker listens, as DOCKER_HOST says it; absent: its usual socket. */
  dockerHost?: string;
}

export interface Found {
  /** Of a manifest or index in the store. */
  digest: string;
  tags: string[];
}

const IMAGES_MAX = 1000;

export class ArchiveLoader {
  readonly #parts: LoaderParts;

  constructor(parts: LoaderParts) {
    this.#parts = parts;
  }

  async fetch(source: Exclude<Source, { transport: 'docker' }>, options: PullOptions): Promise<Found[]> {
    const isArchive = source.transport === 'docker-archive' || source.transport === 'oci-archive';
    if (isArchive && existsSync(source.location)) return this.receive(createReadStream(source.location));
    const reference = `${source.transport}:${source.location}`;
    const file = source.location.replace(/:.*$/, '');
    if (source.transport !== 'docker-daemon' && !existsSync(source.location) && !existsSync(file)) {
      throw new BulkheadError('no_such_image', `${reference}: there is no such file`);
    }
    const name = source.transport === 'docker-daemon' ? source.location : source.location.slice(file.length + 1);
    const { dockerHost } = this.#parts;
    const daemon =
      source.transport === 'docker-daemon' && dockerHost !== undefined ? ['--src-daemon-host', dockerHost] : [];
    return [await this.#copy(reference, tagsIn([name]), options.signal, daemon)];
  }

  /** An archive of either format, plain or compressed. */
  async receive(archive: Readable): Promise<Found[]> {
    const directory = await mkdtemp(path.join(this.#parts.temporary, 'load-'));
    const spool = path.join(directory, 'archive.tar');
    try {
      const documents = await this.#spool(archive, spool);
      const index = documents.get('index.json');
      if (index !== undefined) return await this.#fromLayout(index, spool, directory);
      const docker = documents.get('manifest.json');
      if (docker === undefined) rejected('it is neither a docker-archive nor an oci-archive');
      return await this.#fromDocker(docker, spool);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  async #spool(archive: Readable, spool: string): Promise<Map<string, Buffer>> {
    const documents = new SmallFiles(['index.json', 'manifest.json']);
    const reader = new TarReader(documents);
    const file = await open(spool, 'wx', 0o600);
    try {
      for await (const chunk of await plain(archive)) {
        reader.write(chunk);
        await file.write(chunk);
      }
      reader.end();
    } catch (error) {
      throw asUserError(error);
    } finally {
      await file.close();
    }
    return documents.found;
  }

  async #fromLayout(index: Buffer, spool: string, directory: string): Promise<Found[]> {
    const manifest = parseManifest(index);
    if (manifest.kind !== 'index') throw new BulkheadError('invalid_manifest', 'the index of the archive is none');
    const blobs = new BlobFiles(directory);
    const reader = new TarReader(blobs);
    try {
      for await (const chunk of createReadStream(spool, { highWaterMark: 512 * 1024 })) reader.write(chunk as Buffer);
      for (const [digest, file] of blobs.files) await this.#parts.blobs.adopt(file, digest);
    } finally {
      blobs.close();
    }
    return manifest.entries.slice(0, IMAGES_MAX).map((entry) => {
      const { annotations } = entry;
      const name = annotations['io.containerd.image.name'] ?? annotations['org.opencontainers.image.ref.name'];
      return { digest: entry.digest, tags: tagsIn(name === undefined ? [] : [name]) };
    });
  }

  async #fromDocker(document: Buffer, spool: string): Promise<Found[]> {
    const images = parseDockerManifest(document);
    const found: Found[] = [];
    for (const [index, tags] of images.entries()) {
      found.push(await this.#copy(`docker-archive:${spool}:@${index}`, tagsIn(tags), undefined, []));
    }
    return found;
  }

  async #copy(reference: string, tags: string[], signal: AbortSignal | undefined, more: string[]): Promise<Found> {
    const layout = await OciLayout.make(this.#parts.temporary);
    try {
      const shared = ['--dest-shared-blob-dir', this.#parts.blobs.directory, '--dest-oci-accept-uncompressed-layers'];
      await skopeo(
        ['--tmpdir', this.#parts.temporary, 'copy', '--quiet', ...more, ...shared, reference, layout.reference],
        {
          subject: reference.includes(this.#parts.temporary) ? 'the archive' : reference,
          registry: false,
          stallMs: Number.POSITIVE_INFINITY,
          ...(signal === undefined ? {} : { signal }),
        },
      );
      const entry = layout.entries()[0];
      if (entry === undefined) throw new BulkheadError('no_such_image', `${reference} holds no image`);
      return { digest: entry.digest, tags };
    } finally {
      layout.remove();
    }
  }
}

function parseDockerManifest(document: Buffer): string[][] {
  let json: unknown;
  try {
    json = JSON.parse(document.toString('utf8'));
  } catch {
    rejected('its manifest.json is not JSON');
  }
  if (!Array.isArray(json) || json.length > IMAGES_MAX) rejected('its manifest.json is not a list of images');
  return json.map((image) =>
    Array.isArray(image?.RepoTags) ? image.RepoTags.filter((tag: unknown) => typeof tag === 'string') : [],
  );
}

/** Names that are whole references with a tag; others (a bare `latest`) name nothing. */
function tagsIn(names: string[]): string[] {
  return names.flatMap((name) => {
    if (!name.includes(':')) return [];
    try {
      return tagOf(parseName(name)) ?? [];
    } catch {
      return [];
    }
  });
}

async function plain(archive: Readable): Promise<AsyncIterable<Buffer>> {
  const head = await new Promise<Buffer>((resolve, reject) => {
    const look = (): void => {
      const chunk = archive.read() as Buffer | null;
      if (chunk === null) return;
      done();
      archive.unshift(chunk);
      resolve(chunk);
    };
    const ended = (): void => {
      done();
      resolve(Buffer.alloc(0));
    };
    const failed = (error: Error): void => {
      done();
      reject(error);
    };
    const done = (): void => {
      archive.off('readable', look).off('end', ended).off('error', failed);
    };
    archive.on('readable', look).on('end', ended).on('error', failed);
  });
  const magic = head.toString('hex', 0, 4);
  const through = magic.startsWith('1f8b')
    ? createGunzip()
    : magic === '28b52ffd'
      ? createZstdDecompress()
      : new PassThrough();
  archive.on('error', (error) => through.destroy(error));
  archive.on('close', () => {
    if (!archive.readableEnded) through.destroy(new BulkheadError('archive_rejected', 'the archive broke off'));
  });
  return archive.pipe(through);
}

function asUserError(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (code === 'ENOSPC' || code === 'EDQUOT') return new BulkheadError('disk_full', 'no space left for the archive');
  if (code.startsWith('Z_') || code.startsWith('ZSTD')) {
    return new BulkheadError('archive_rejected', 'the compressed archive is damaged', { cause: error });
  }
  return error;
}

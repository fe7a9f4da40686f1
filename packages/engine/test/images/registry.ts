/** A real registry on loopback for tests, and images made for it. */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { ImageState } from '../../src/images/image-records.ts';
import { SkopeoImageStore, type SkopeoImageStoreOptions } from '../../src/images/store.ts';
import type { ImageRecord } from '../../src/ports/images.ts';
import { temporaryDirectory } from '../temporary-directory.ts';

export async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Debian's docker-registry; returns its address. */
export async function startRegistry(t: TestContext): Promise<string> {
  const directory = temporaryDirectory(t);
  const port = await freePort();
  const config = path.join(directory, 'config.yml');
  const storage = { filesystem: { rootdirectory: path.join(directory, 'data') } };
  writeFileSync(
    config,
    JSON.stringify({ version: 0.1, log: { level: 'error' }, storage, http: { addr: `127.0.0.1:${port}` } }),
  );
  const registry = spawn('docker-registry', ['serve', config], { stdio: 'ignore' });
  t.after(() => registry.kill('SIGKILL'));
  const address = `127.0.0.1:${port}`;
  for (let attempt = 0; attempt < 200; attempt++) {
    if (
      await fetch(`http://${address}/v2/`).then(
        (answer) => answer.ok,
        () => false,
      )
    )
      return address;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error('docker-registry does not start');
}

/** The state's image part, in memory. */
export class MemoryState implements ImageState {
  readonly #images = new Map<string, ImageRecord>();
  putImage(record: ImageRecord): void {
    this.#images.set(record.id, structuredClone(record));
  }
  getImage(id: string): ImageRecord | undefined {
    return this.#images.get(id);
  }
  listImages(): ImageRecord[] {
    return [...this.#images.values()];
  }
  deleteImage(id: string): void {
    this.#images.delete(id);
  }
  transaction<T>(body: () => T): T {
    return body();
  }
}

export function makeStore(
  t: TestContext,
  options: Partial<SkopeoImageStoreOptions> = {},
): { store: SkopeoImageStore; data: string; state: MemoryState } {
  const data = options.paths?.data ?? temporaryDirectory(t);
  const state = (options.state as MemoryState | undefined) ?? new MemoryState();
  const paths = { data, run: path.join(data, 'run'), tag: 'abcdef' };
  return { store: new SkopeoImageStore({ stallMs: 5000, ...options, paths, state }), data, state };
}

export function sha256(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** A tar of `files` (name to content) made by GNU tar. */
export function tarOf(t: TestContext, files: Record<string, string>, flags: string[] = []): Buffer {
  const directory = temporaryDirectory(t);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(directory, name)), { recursive: true });
    writeFileSync(path.join(directory, name), content);
  }
  const tar = spawnSync('tar', ['-c', '--sort=name', '--mtime=@0', ...flags, '-C', directory, '.'], {
    maxBuffer: 2 ** 28,
  });
  if (tar.status !== 0) throw new Error(tar.stderr.toString());
  return tar.stdout;
}

export interface Made {
  manifest: Buffer;
  manifestDigest: string;
  configDigest: string;
  diffIds: string[];
  blobs: Map<string, Buffer>;
}

export interface MakeOptions {
  architecture?: string;
  config?: Record<string, unknown>;
  /** False leaves the optional history out. */
  history?: boolean;
  /** Changes the manifest before it is serialised. */
  lie?: (manifest: Record<string, unknown>) => void;
  compress?: (tar: Buffer) => Buffer;
}

/** An OCI image of these layers (tars, lowest first). */
export function makeImage(tars: Buffer[], options: MakeOptions = {}): Made {
  const blobs = new Map<string, Buffer>();
  const add = (bytes: Buffer, mediaType: string): { mediaType: string; digest: string; size: number } => {
    blobs.set(sha256(bytes), bytes);
    return { mediaType, digest: sha256(bytes), size: bytes.length };
  };
  const compress = options.compress ?? ((tar: Buffer): Buffer => gzipSync(tar, { level: 1 }));
  const diffIds = tars.map(sha256);
  const layers = tars.map((tar) => add(compress(tar), 'application/vnd.oci.image.layer.v1.tar+gzip'));
  const architecture = options.architecture ?? (process.arch === 'arm64' ? 'arm64' : 'amd64');
  const rootfs = { type: 'layers', diff_ids: diffIds };
  const history = diffIds.map(() => ({ created: '2024-01-02T03:04:05Z', created_by: 'test' }));
  const configuration = {
    architecture,
    os: 'linux',
    created: '2024-01-02T03:04:05Z',
    config: options.config ?? {},
    rootfs,
    ...(options.history === false ? {} : { history }),
  };
  const config = add(Buffer.from(JSON.stringify(configuration)), 'application/vnd.oci.image.config.v1+json');
  const document: Record<string, unknown> = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config,
    layers,
  };
  options.lie?.(document);
  const manifest = Buffer.from(JSON.stringify(document));
  return { manifest, manifestDigest: sha256(manifest), configDigest: config.digest, diffIds, blobs };
}

/** Uploads by the distribution API, so that also what no tool would push gets there. */
export async function upload(address: string, repository: string, tag: string, image: Made): Promise<void> {
  for (const [digest, bytes] of image.blobs) {
    const begun = await fetch(`http://${address}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
    const location = new URL(begun.headers.get('location')!, `http://${address}`);
    location.searchParams.set('digest', digest);
    const put = await fetch(location, { method: 'PUT', body: new Uint8Array(bytes) });
    if (!put.ok) throw new Error(`upload: ${put.status} ${await put.text()}`);
  }
  const mediaType = JSON.parse(image.manifest.toString()).mediaType;
  const headers = { 'content-type': mediaType };
  const put = await fetch(`http://${address}/v2/${repository}/manifests/${tag}`, {
    method: 'PUT',
    headers,
    body: new Uint8Array(image.manifest),
  });
  if (!put.ok) throw new Error(`manifest: ${put.status} ${await put.text()}`);
}

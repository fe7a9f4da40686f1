/** Builds images with buildah in a storage of its own; what a Dockerfile starts from comes from the store where it is there. */
import { spawn } from 'node:child_process';
import { existsSync, lstatSync, readFileSync, realpathSync, rmSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, readdir } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BulkheadError } from '@bulkhead/contract';
import { MNT_DETACH, umount } from '../host/syscall.ts';
import type { HostPaths } from '../ports/host.ts';
import type { OnProgress } from '../ports/images.ts';
import { imagesNamed } from './dockerfile.ts';
import type { OciLayout } from './oci-layout.ts';
import { parseName, tagOf } from './reference.ts';
import { skopeo } from './skopeo.ts';

export interface BuildOptions {
  dockerfile: string;
  tag?: string;
  buildArgs: Record<string, string>;
  target?: string;
  noCache?: boolean;
  /** What RUN steps reach: a network of their own (default), or nothing. */
  network?: 'default' | 'none';
  onProgress?: OnProgress;
}

/** For one build, and only as long as it lasts. */
export interface BuildNetwork {
  netnsPath: string;
  dnsServer: string;
  release: () => Promise<void>;
}

export interface BuildPorts {
  /** A layout of the image, which is in our store then; the builder removes it. */
  source: (reference: string) => Promise<OciLayout>;
  target: OciLayout;
  blobDirectory: string;
}

/** Of who was to run buildah. */
const NOT_FOUND = 127;
const DOCKERFILE_MAX_BYTES = 1024 * 1024;

/** Its own loopback and nothing else. */
const NO_NETWORK = ['unshare', '--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh'];

export class Buildah {
  readonly #root: string;
  readonly #runRoot: string;
  readonly #temporary: string;
  readonly #network: (() => Promise<BuildNetwork>) | undefined;
  #builds = 0;

  /** Without `network`, RUN steps have none. */
  constructor(options: { paths: HostPaths; temporary: string; network?: () => Promise<BuildNetwork> }) {
    this.#root = path.join(options.paths.data, 'build');
    this.#runRoot = path.join(options.paths.run, 'build');
    this.#temporary = options.temporary;
    this.#network = options.network;
  }

  async build(context: Readable, options: BuildOptions, ports: BuildPorts): Promise<void> {
    const onProgress = options.onProgress ?? (() => {});
    const directory = await mkdtemp(path.join(this.#temporary, 'build-'));
    this.#builds++;
    try {
      const folder = path.join(directory, 'context');
      await mkdir(folder);
      await unpackContext(context, folder);
      const file = dockerfileIn(folder, options.dockerfile);
      await this.#bringImages(readFileSync(file, 'utf8'), options.buildArgs, ports);
      const idFile = path.join(directory, 'id');
      await this.#onNetwork(options, (enter, flags) =>
        this.#run(
          enter,
          ['bud', ...flags, ...buildFlags(options), '--iidfile', idFile, '-f', file, folder],
          onProgress,
        ),
      );
      const id = readFileSync(idFile, 'utf8')
        .trim()
        .replace(/^sha256:/, '');
      await skopeo(
        [
          'copy',
          '--quiet',
          '--dest-shared-blob-dir',
          ports.blobDirectory,
          '--dest-oci-accept-uncompressed-layers',
          this.#stored(id),
          ports.target.reference,
        ],
        { subject: 'the built image', registry: false, stallMs: Number.POSITIVE_INFINITY },
      );
    } finally {
      rmSync(directory, { recursive: true, force: true });
      this.#builds--;
      // The storage is mounted upon itself by whoever uses it, and stays so; not under another build's feet.
      if (this.#builds === 0) this.recover();
    }
  }

  /** With `isolation chroot` steps run on the network of buildah itself, so buildah is put where they belong. */
  async #onNetwork(
    { network = 'default' }: BuildOptions,
    body: (enter: string[], flags: string[]) => Promise<void>,
  ): Promise<void> {
    if (network === 'none' || this.#network === undefined) return body(NO_NETWORK, []);
    const { netnsPath, dnsServer, release } = await this.#network();
    try {
      await body(['nsenter', `--net=${netnsPath}`, '--'], ['--dns', dnsServer]);
    } finally {
      await release();
    }
  }

  /** Empties the builder's storage, which is only a cache; returns the bytes freed. */
  async prune(): Promise<number> {
    if (!existsSync(this.#root)) return 0;
    this.recover();
    const bytes = await diskBytes(this.#root);
    rmSync(this.#root, { recursive: true, force: true });
    rmSync(this.#runRoot, { recursive: true, force: true });
    return bytes;
  }

  /** Undoes the mounts of a build that was killed. */
  recover(): void {
    const mounts = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[1] ?? '');
    for (const target of mounts.reverse()) if (target.startsWith(`${this.#root}/`)) umount(target, MNT_DETACH);
  }

  #stored(reference: string): string {
    return `containers-storage:[overlay@${this.#root}+${this.#runRoot}]${reference}`;
  }

  async #bringImages(dockerfile: string, buildArgs: Record<string, string>, ports: BuildPorts): Promise<void> {
    for (const name of imagesNamed(dockerfile, buildArgs)) {
      const tag = tagOf(parseName(name));
      if (tag === undefined) continue;
      const layout = await ports.source(name);
      try {
        await skopeo(
          ['copy', '--quiet', '--src-shared-blob-dir', ports.blobDirectory, layout.reference, this.#stored(tag)],
          {
            subject: name,
            registry: false,
            stallMs: Number.POSITIVE_INFINITY,
          },
        );
      } finally {
        layout.remove();
      }
    }
  }

  /** Runs buildah; every line it prints is progress, the last ones the error. */
  async #run(enter: string[], args: string[], onProgress: OnProgress): Promise<void> {
    const storage = ['--root', this.#root, '--runroot', this.#runRoot, '--storage-driver', 'overlay'];
    const [program = 'buildah', ...words] = [...enter, 'buildah', ...storage, ...args];
    const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    const last: string[] = [];
    const eachLine = lineReader((line) => {
      last.push(line);
      if (last.length > 5) last.shift();
      onProgress({ phase: 'building', message: line });
    });
    child.stdout.setEncoding('utf8').on('data', eachLine);
    child.stderr.setEncoding('utf8').on('data', eachLine);
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
    }).catch(() => {
      throw new BulkheadError('tool_missing', `${program} is not installed`);
    });
    if (code === NOT_FOUND) throw new BulkheadError('tool_missing', 'buildah is not installed');
    if (code !== 0) throw new BulkheadError('build_failed', `the build failed: ${last.slice(-3).join('; ')}`);
  }
}

async function diskBytes(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return files.reduce((sum, file) => sum + (statSync(path.join(file.parentPath, file.name)).blocks ?? 0) * 512, 0);
}

function buildFlags(options: BuildOptions): string[] {
  const args = Object.entries(options.buildArgs).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]);
  const target = options.target === undefined ? [] : ['--target', options.target];
  const cache = options.noCache === true ? ['--no-cache'] : [];
  return ['--isolation', 'chroot', '--layers', '--format', 'docker', ...args, ...target, ...cache];
}

/** tar refuses names that lead out and does not follow links it has made itself; devices and owners mean nothing here. */
async function unpackContext(context: Readable, folder: string): Promise<void> {
  const tar = spawn('tar', ['-x', '--no-same-owner', '-C', folder, '-f', '-'], { stdio: ['pipe', 'ignore', 'pipe'] });
  let words = '';
  tar.stderr.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(-2000);
  });
  const ended = new Promise<number | null>((resolve) => tar.on('close', resolve));
  await pipeline(context, tar.stdin).catch(() => {});
  if ((await ended) === 0) return;
  const line = words.trim().split('\n').at(-1);
  if (/No space left/.test(words)) throw new BulkheadError('disk_full', 'no space left for the build context');
  throw new BulkheadError('archive_rejected', `the build context cannot be unpacked: ${line}`);
}

function dockerfileIn(folder: string, name: string): string {
  const file = path.resolve(folder, name);
  const inside = existsSync(file) && realpathSync(file).startsWith(`${realpathSync(folder)}/`);
  if (!inside) throw new BulkheadError('build_failed', `there is no ${JSON.stringify(name)} in the build context`);
  if (!lstatSync(realpathSync(file)).isFile() || lstatSync(realpathSync(file)).size > DOCKERFILE_MAX_BYTES) {
    throw new BulkheadError('build_failed', `${JSON.stringify(name)} is no file of at most 1 MiB`);
  }
  return file;
}

function lineReader(onLine: (line: string) => void): (text: string) => void {
  let rest = '';
  return (text) => {
    const lines = (rest + text).split(/\r?\n/);
    rest = (lines.pop() ?? '').slice(-10_000);
    for (const line of lines) if (line.trim() !== '') onLine(line);
  };
}

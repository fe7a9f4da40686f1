/** A real engine on folders of its own, driven by the real CLI: what a user has, and nothing a user has not. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dirname, '../../../..');
/** Kernels are large and the same for every engine: fetched once for all tests. */
const KERNELS = '/var/cache/bulkhead/kernels';

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
  /** stdout as bytes. */
  bytes: Buffer;
}

export interface RunOptions {
  input?: string | Buffer;
  timeoutMs?: number;
  cwd?: string;
}

export class Engine {
  readonly folder: string;
  readonly data: string;
  readonly run: string;
  #process: ChildProcess | undefined;
  readonly #flags: string[];
  #tag: string | undefined;

  private constructor(folder: string, flags: string[]) {
    this.folder = folder;
    this.data = path.join(folder, 'data');
    this.run = path.join(folder, 'run');
    this.#flags = flags;
  }

  /** Starts an engine on a new temporary folder. */
  static async start(flags: string[] = [], prepare: (engine: Engine) => void = () => {}): Promise<Engine> {
    const engine = new Engine(mkdtempSync('/var/tmp/bh-'), flags);
    // The root of a container is an ordinary user outside, who has to get through.
    chmodSync(engine.folder, 0o711);
    mkdirSync(engine.data, { recursive: true });
    prepare(engine);
    mkdirSync(KERNELS, { recursive: true });
    symlinkSync(KERNELS, path.join(engine.data, 'kernels'));
    await engine.boot();
    return engine;
  }

  get socket(): string {
    return path.join(this.run, 'api.sock');
  }

  /** What the engine puts into the name of everything it makes on the host. */
  get tag(): string {
    this.#tag ??= createHash('sha256').update(realpathSync(this.data)).digest('hex').slice(0, 6);
    return this.#tag;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Starts the engine's process again on the same folders; resolves when its API answers. */
  async boot(env: NodeJS.ProcessEnv = {}): Promise<void> {
    const log = path.join(this.folder, 'engine.out');
    const child = spawn(
      'sh',
      [
        '-c',
        'log=$1; shift; exec "$@" >>"$log" 2>&1',
        'sh',
        log,
        process.execPath,
        '--no-warnings',
        path.join(ROOT, 'packages/engine/src/main.ts'),
        '--foreground',
        '--data',
        this.data,
        '--run',
        this.run,
        ...this.#flags,
      ],
      {
        stdio: 'ignore',
        // As the launcher does.
        env: { NODE_COMPILE_CACHE: '/var/cache/bulkhead/compile', ...process.env, ...env },
      },
    );
    this.#process = child;
    for (let attempt = 0; attempt < 1500; attempt++) {
      if (child.exitCode !== null || child.signalCode !== null) {
        if (env.BULKHEAD_FAULT !== undefined) return;
        throw new Error(
          `the engine ended with ${child.exitCode ?? child.signalCode}: ${readFileSync(log, 'utf8').slice(-2000)}`,
        );
      }
      if (await this.#answers()) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error('the engine did not answer within 30 s');
  }

  #answers(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const request = http.get({ socketPath: this.socket, path: '/v1/ping', timeout: 2000, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('error', () => resolve(false));
    request.on('timeout', () => request.destroy());
    return promise;
  }

  /** SIGKILL, as a crash would. */
  async crash(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  /** It was killed, by itself or by us. */
  get killed(): boolean {
    return this.#process?.signalCode === 'SIGKILL';
  }

  async ended(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    await new Promise((resolve) => child.once('exit', resolve));
  }

  /** The CLI, asynchronously: the test's own event loop goes on. */
  bh(args: string[], options: RunOptions = {}): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const child = spawn(path.join(ROOT, 'bulkhead'), args, {
        stdio: ['pipe', 'pipe', 'pipe'],
        cwd: options.cwd,
        env: { ...process.env, BULKHEAD_HOST: this.socket },
      });
      const out: Buffer[] = [];
      const err: Buffer[] = [];
      child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
      child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
      const limit = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 60_000);
      child.on('error', reject);
      child.on('close', (code, signal) => {
        clearTimeout(limit);
        const bytes = Buffer.concat(out);
        resolve({
          code: code ?? (signal === 'SIGKILL' ? -9 : 128),
          stdout: bytes.toString(),
          stderr: Buffer.concat(err).toString(),
          bytes,
        });
      });
      child.stdin.on('error', () => {});
      child.stdin.end(options.input ?? '');
    });
  }

  /** As bh, and it has to succeed; gives stdout without the last newline. */
  async ok(...args: string[]): Promise<string> {
    const done = await this.bh(args);
    if (done.code !== 0)
      throw new Error(`bulkhead ${args.join(' ')} ended with ${done.code}\n${done.stdout}${done.stderr}`);
    return done.stdout.replace(/\n$/, '');
  }

  /** Removes every instance, ends the engine and deletes its folders. */
  async dispose(): Promise<void> {
    if (!existsSync(this.folder)) return;
    try {
      if (this.#process === undefined || this.#process.exitCode !== null || this.#process.signalCode !== null)
        await this.boot();
      const all = (await this.ok('ps', '-aq')).split('\n').filter((id) => id !== '');
      if (all.length > 0) await this.bh(['rm', '-fv', ...all], { timeoutMs: 120_000 });
      await this.bh(['down', '--stop', '--purge'], { timeoutMs: 120_000 });
      await Promise.race([this.ended(), new Promise((resolve) => setTimeout(resolve, 20_000).unref())]);
    } finally {
      await this.crash();
      rmSync(path.join(this.data, 'kernels'), { force: true });
      // Where it is a file system of its own.
      spawnSync('umount', ['-l', this.data], { stdio: 'ignore' });
      rmSync(this.folder, { recursive: true, force: true });
    }
  }
}

export interface TestImage {
  name: string;
  entrypoint?: string[];
  cmd?: string[];
  env?: string[];
  workdir?: string;
  user?: string;
  labels?: Record<string, string>;
  healthcheck?: unknown;
  volumes?: Record<string, object>;
  stopSignal?: string;
  /** Files beside busybox: path -> content. */
  files?: Record<string, string>;
}

/** A docker-archive with one layer: static busybox and what the image asks for. */
export function busyboxArchive(folder: string, image: TestImage): string {
  const work = mkdtempSync(path.join(os.tmpdir(), 'bh-image-'));
  const root = path.join(work, 'root');
  for (const directory of ['bin', 'etc', 'tmp', 'root', 'home/alice', 'var/empty'])
    mkdirSync(path.join(root, directory), { recursive: true });
  execFileSync('cp', ['/bin/busybox', path.join(root, 'bin/busybox')]);
  for (const applet of execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).split('\n')) {
    if (applet !== '' && applet !== 'busybox') symlinkSync('busybox', path.join(root, 'bin', applet));
  }
  writeFileSync(
    path.join(root, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000:Alice:/home/alice:/bin/sh\n',
  );
  writeFileSync(path.join(root, 'etc/group'), 'root:x:0:\nalice:x:1000:\nstaff:x:50:alice\n');
  for (const [file, content] of Object.entries(image.files ?? {})) {
    mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
    writeFileSync(path.join(root, file), content, { mode: 0o755 });
  }
  execFileSync('chmod', ['1777', path.join(root, 'tmp')]);
  execFileSync('chown', ['1000:1000', path.join(root, 'home/alice')]);
  execFileSync('tar', ['-C', root, '--numeric-owner', '-cf', path.join(work, 'layer.tar'), '.']);
  const diffId = `sha256:${createHash('sha256')
    .update(readFileSync(path.join(work, 'layer.tar')))
    .digest('hex')}`;
  const config = {
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    created: '2026-01-01T00:00:00Z',
    config: {
      Entrypoint: image.entrypoint,
      Cmd: image.cmd ?? ['sh'],
      Env: image.env ?? ['PATH=/bin'],
      WorkingDir: image.workdir,
      User: image.user,
      Labels: image.labels,
      Healthcheck: image.healthcheck,
      Volumes: image.volumes,
      StopSignal: image.stopSignal,
    },
    rootfs: { type: 'layers', diff_ids: [diffId] },
    history: [{ created: '2026-01-01T00:00:00Z', created_by: 'test' }],
  };
  writeFileSync(path.join(work, 'config.json'), JSON.stringify(config));
  writeFileSync(
    path.join(work, 'manifest.json'),
    JSON.stringify([
      {
        Config: 'config.json',
        RepoTags: [image.name.includes(':') ? image.name : `${image.name}:latest`],
        Layers: ['layer.tar'],
      },
    ]),
  );
  const archive = path.join(folder, `${image.name.replaceAll(/[^a-z0-9]/g, '-')}.tar`);
  execFileSync('tar', ['-C', work, '-cf', archive, 'manifest.json', 'config.json', 'layer.tar']);
  rmSync(work, { recursive: true, force: true });
  return archive;
}

export async function loadBusybox(engine: Engine, image: TestImage): Promise<void> {
  await engine.ok('load', '-q', '-i', busyboxArchive(engine.folder, image));
}

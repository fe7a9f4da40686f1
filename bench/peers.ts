/** The peers in the same run: Docker Engine with its own roots and socket, and a registry on loopback. Each ends with its owner. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';

export interface Peer {
  stop(): Promise<void>;
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.once('exit', () => resolve());
  });
}

export async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export interface Docker extends Peer {
  /** Arguments that lead `docker` to this daemon. */
  host: string[];
  pid: number;
}

export async function startDocker(folder: string, insecureRegistry: string): Promise<Docker> {
  mkdirSync(folder, { recursive: true });
  const socket = `unix://${folder}/docker.sock`;
  const daemon = spawn(
    'dockerd',
    [
      '--data-root',
      `${folder}/data`,
      '--exec-root',
      `${folder}/exec`,
      '-H',
      socket,
      '--pidfile',
      `${folder}/pid`,
      '--insecure-registry',
      insecureRegistry,
    ],
    { stdio: 'ignore' },
  );
  const host = ['-H', socket];
  for (let attempt = 0; attempt < 300; attempt++) {
    if (spawnSync('docker', [...host, 'version'], { stdio: 'ignore' }).status === 0) break;
    if (daemon.exitCode !== null) throw new Error(`dockerd ended with ${daemon.exitCode}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return {
    host,
    pid: daemon.pid ?? 0,
    async stop() {
      daemon.kill('SIGTERM');
      await ended(daemon);
      spawnSync('ip', ['link', 'del', 'docker0'], { stdio: 'ignore' });
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface Registry extends Peer {
  address: string;
}

export async function startRegistry(folder: string): Promise<Registry> {
  const port = await freePort();
  mkdirSync(folder, { recursive: true });
  const config = path.join(folder, 'config.yml');
  writeFileSync(
    config,
    `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${folder}/data}}\nhttp: {addr: '127.0.0.1:${port}'}\n`,
  );
  const registry = spawn('docker-registry', ['serve', config], { stdio: 'ignore' });
  for (let attempt = 0; attempt < 100; attempt++) {
    const up = await new Promise<boolean>((resolve) => {
      const probe = net.connect(port, '127.0.0.1', () => {
        probe.end();
        resolve(true);
      });
      probe.on('error', () => resolve(false));
    });
    if (up) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    address: `127.0.0.1:${port}`,
    async stop() {
      registry.kill();
      await ended(registry);
    },
  };
}

/** Instances and volumes as plain directories below the data directory. It decides nothing about who may use them. */
import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { chown, lstat, mkdir, opendir, readdir, realpath, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BulkheadError } from '@bulkhead/contract';
import { instanceData, logPath, volumeData } from '../host/paths.ts';
import type { HostPaths } from '../ports/host.ts';
import type { IdMap } from '../ports/rootfs.ts';
import type { BindSource, Storage } from '../ports/storage.ts';

const run = promisify(execFile);

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

function explain(error: unknown, path: string): unknown {
  const code = codeOf(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new BulkheadError('disk_full', `no space left for ${path}; nothing was changed`, { cause: error });
  }
  // Node's recursive mkdir says ENOENT of a read-only file system; of anything else it would make what is missing.
  const refused = code === 'ENOENT' && (error as NodeJS.ErrnoException).syscall === 'mkdir';
  if (code === 'EROFS' || refused) return new BulkheadError('read_only', `${path} cannot be written`, { cause: error });
  return error;
}

export class DirectoryStorage implements Storage {
  readonly #paths: HostPaths;
  readonly #idMap: () => IdMap | undefined;

  constructor(deps: { paths: HostPaths; idMap: () => IdMap | undefined }) {
    this.#paths = deps.paths;
    this.#idMap = deps.idMap;
  }

  prepareInstance(id: string): string {
    const directory = instanceData(this.#paths, id);
    try {
      mkdirSync(directory, { recursive: true, mode: 0o711 });
    } catch (error) {
      throw explain(error, directory);
    }
    return logPath(this.#paths, id);
  }

  logPath(id: string): string {
    return logPath(this.#paths, id);
  }

  async removeInstance(id: string): Promise<void> {
    await rm(instanceData(this.#paths, id), { recursive: true, force: true });
  }

  async instanceLeftovers(): Promise<string[]> {
    try {
      return await readdir(join(this.#paths.data, 'instances'));
    } catch {
      return [];
    }
  }

  volumePath(name: string): string {
    return volumeData(this.#paths, name);
  }

  async createVolume(name: string): Promise<boolean> {
    const path = this.volumePath(name);
    try {
      const made = await mkdir(path, { recursive: true, mode: 0o755 });
      if (made === undefined) return false;
      const map = this.#idMap();
      if (map) await chown(path, map.hostId, map.hostId);
      return true;
    } catch (error) {
      throw explain(error, path);
    }
  }

  async seedVolume(name: string, from: string): Promise<void> {
    const path = this.volumePath(name);
    const existing = await readdir(path);
    if (existing.length > 0) return;
    try {
      // cp keeps owners, hard links, extended attributes and sparse files; Node's own copy does not.
      await run('cp', ['-a', '--reflink=auto', '--', `${from}/.`, path]);
    } catch (error) {
      throw new BulkheadError('disk_full', `what the image holds could not be copied into volume ${name}: ${error}`, {
        cause: error,
      });
    }
  }

  async removeVolume(name: string): Promise<void> {
    await rm(join(this.#paths.data, 'volumes', name), { recursive: true, force: true });
  }

  volumeBytes(name: string): Promise<number> {
    return bytesBelow(this.volumePath(name));
  }

  instanceBytes(id: string): Promise<number> {
    return bytesBelow(instanceData(this.#paths, id));
  }

  async bindSource(path: string): Promise<BindSource | undefined> {
    try {
      const real = await realpath(path);
      return { realPath: real, directory: (await stat(real)).isDirectory() };
    } catch {
      return undefined;
    }
  }
}

async function bytesBelow(path: string): Promise<number> {
  let bytes = 0;
  try {
    const directory = await opendir(path, { recursive: true });
    for await (const entry of directory) {
      if (entry.isFile()) bytes += (await lstat(join(entry.parentPath, entry.name))).blocks * 512;
    }
  } catch {
    // Files may go while we count: what was counted so far is the answer.
  }
  return bytes;
}

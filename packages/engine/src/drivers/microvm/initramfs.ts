/** The guest's first file system: its PID 1, a static busybox for `cp`, and the kernel modules in the order they load. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { BulkheadError } from '@bulkhead/contract';
import { type CpioEntry, writeCpio } from './cpio.ts';

export interface KernelModule {
  name: string;
  /** Host path, `.ko` or `.ko.xz`, `.ko.zst`, `.ko.gz`. */
  path: string;
}

const DIRECTORY = 0o040755;
const EXECUTABLE = 0o100755;
const FILE = 0o100644;
const CHARACTER_DEVICE = 0o020600;
const MAX_MODULE_BYTES = 64 * 1024 * 1024;
const DECOMPRESSORS: Record<string, string> = { '.xz': 'xz', '.zst': 'zstd', '.gz': 'gzip' };

export function buildInitramfs(parts: { initPath: string; busyboxPath: string; modules: KernelModule[] }): Buffer {
  const directories = ['dev', 'proc', 'sys', 'bin', 'modules', 'run'];
  const entries: CpioEntry[] = directories.map((name) => ({ name, mode: DIRECTORY }));
  entries.push(
    // Where devtmpfs is not mounted yet, the first words of PID 1 need this one.
    { name: 'dev/console', mode: CHARACTER_DEVICE, device: [5, 1] },
    { name: 'init', mode: EXECUTABLE, content: readFileSync(parts.initPath) },
    { name: 'bin/busybox', mode: EXECUTABLE, content: readFileSync(parts.busyboxPath) },
  );
  const names: string[] = [];
  for (const module of parts.modules) {
    const name = `modules/${module.name}.ko`;
    entries.push({ name, mode: FILE, content: readModule(module.path) });
    names.push(`/${name}\n`);
  }
  entries.push({ name: 'modules.list', mode: FILE, content: Buffer.from(names.join('')) });
  return writeCpio(entries);
}

/**
 * The modules to load for `wanted`, dependencies first, each once; those built into the kernel or not known to it are
 * left out (the agent reports what it cannot do without them). `modulesDir` is `lib/modules/VERSION` with a
 * `modules.dep` of depmod.
 */
export function moduleOrder(modulesDir: string, wanted: readonly string[]): KernelModule[] {
  const list = join(modulesDir, 'modules.dep');
  if (!existsSync(list))
    throw new BulkheadError('tool_missing', `${list} is missing`, {
      hint: 'Run `depmod -b DIR VERSION` (package kmod) on the unpacked kernel package.',
    });
  const dependencies = readDependencies(readFileSync(list, 'utf8'));
  const ordered = new Map<string, KernelModule>();
  const add = (name: string) => {
    const found = dependencies.get(name);
    if (!found || ordered.has(name)) return;
    // Modules do not depend on each other in circles; marking first keeps even a broken list finite.
    dependencies.delete(name);
    for (const needed of found.needs) add(needed);
    ordered.set(name, { name, path: join(modulesDir, found.path) });
  };
  for (const name of wanted) add(name.replaceAll('-', '_'));
  return [...ordered.values()];
}

function readDependencies(text: string): Map<string, { path: string; needs: string[] }> {
  const found = new Map<string, { path: string; needs: string[] }>();
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon < 0) continue;
    const path = line.slice(0, colon);
    const needs = line
      .slice(colon + 1)
      .split(' ')
      .filter((word) => word !== '')
      .map(moduleName);
    // depmod lists the nearest dependency first, so the last must load first.
    found.set(moduleName(path), { path, needs: needs.reverse() });
  }
  return found;
}

function moduleName(path: string): string {
  return basename(path)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');
}

function readModule(path: string): Buffer {
  const extension = Object.keys(DECOMPRESSORS).find((ending) => path.endsWith(ending));
  if (!extension) return readFileSync(path);
  return execFileSync(DECOMPRESSORS[extension]!, ['-dc', path], {
    maxBuffer: MAX_MODULE_BYTES,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

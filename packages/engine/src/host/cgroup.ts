/** Control groups of instances, for both versions: `/bulkhead-TAG/ID` below every controller. It sets what it is told and decides nothing. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BulkheadError } from '@bulkhead/contract';
import type { Limits } from '../domain/task.ts';
import type { CgroupSetup } from '../ports/host.ts';
import { type CgroupUsage, readOomKills, readUsage } from './cgroup-usage.ts';

const CPU_PERIOD_US = 100_000;
/** Those of the runtime specification: null, zero, full, random, urandom, tty, ptmx and terminals; nodes of others may exist. */
const DEVICES =
  'c *:* m;b *:* m;c 1:3 rwm;c 1:5 rwm;c 1:7 rwm;c 1:8 rwm;c 1:9 rwm;c 5:0 rwm;c 5:2 rwm;c 136:* rwm'.split(';');

/** Which hierarchy this host uses, from /proc/self/mounts. A v2 mount counts only where it has controllers. */
export function detectCgroups(mountsFile = '/proc/self/mounts'): CgroupSetup {
  const mounts: Record<string, string> = {};
  let unified: string | undefined;
  for (const line of readFileSync(mountsFile, 'utf8').split('\n')) {
    const [, target = '', type, options = ''] = line.split(' ');
    if (type === 'cgroup2') unified ??= target;
    if (type !== 'cgroup') continue;
    for (const option of options.split(','))
      if (/^(memory|cpu|cpuacct|cpuset|pids|blkio|devices|freezer)$/.test(option)) mounts[option] ??= target;
  }
  if (mounts.memory === undefined && unified !== undefined) return { version: 2, mounts: { unified } };
  return { version: 1, mounts };
}

function allHierarchies(): string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .flatMap(([, target = '', type]) => (type === 'cgroup' || type === 'cgroup2' ? [target] : []));
}

/** The directory of the group this process is in already: to write it there again changes nothing. */
function ownGroup({ version, mounts }: CgroupSetup): string | undefined {
  for (const line of readFileSync('/proc/self/cgroup', 'utf8').split('\n')) {
    const [, controllers = '', group = ''] = line.split(':', 3);
    const mount = mounts[version === 2 ? 'unified' : 'pids'];
    if (mount !== undefined && controllers === (version === 2 ? '' : 'pids')) return path.join(mount, group);
  }
  return undefined;
}

export class Cgroups {
  readonly setup: CgroupSetup;
  readonly #parent: string;
  #own: string | undefined;
  #hierarchies: string[] | undefined;

  constructor(tag: string, setup: CgroupSetup = detectCgroups()) {
    this.setup = setup;
    this.#parent = `bulkhead-${tag}`;
    if (setup.version === 2) this.#delegate();
  }

  /** v2: controllers must be switched on for children at every level above. */
  #delegate(): void {
    const top = this.setup.mounts.unified ?? '/sys/fs/cgroup';
    mkdirSync(path.join(top, this.#parent), { recursive: true });
    for (const directory of [top, path.join(top, this.#parent)]) {
      for (const controller of ['cpu', 'memory', 'pids', 'io', 'cpuset']) {
        try {
          writeFileSync(path.join(directory, 'cgroup.subtree_control'), `+${controller}`);
        } catch {
          // Not there, or processes sit in it: doctor says so.
        }
      }
    }
  }

  /**
   * The first process to enter a group after a quiet time waits for a grace period of the kernel (7 to 15 ms); those right
   * after it do not. Called when a start begins, this spends the wait beside the rest of the start. It moves nothing.
   */
  anticipate(): void {
    this.#own ??= ownGroup(this.setup);
    // In a thread of the pool: the write blocks for the whole time.
    if (this.#own !== undefined) writeFile(path.join(this.#own, 'cgroup.procs'), String(process.pid)).catch(() => {});
  }

  /** `linux.cgroupsPath` of a bundle. */
  pathOf(id: string): string {
    return `/${this.#parent}/${id}`;
  }

  #directories(id: string): Map<string, string> {
    return new Map(
      Object.entries(this.setup.mounts).map(([controller, mount]) => [controller, path.join(mount, this.#parent, id)]),
    );
  }

  /**
   * For a runtime that leaves cgroups alone: makes them, sets limits, gives the directories a process has to join. Idempotent.
   * `usualDevices`, v1 only, where rules are lines and no program: nothing but the devices every container has.
   */
  create(id: string, limits: Limits, options: { usualDevices: boolean }): string[] {
    const directories = this.directories(id);
    for (const directory of directories) {
      const isNew = mkdirSync(directory, { recursive: true }) !== undefined;
      if (!isNew || this.setup.version === 2) continue;
      if (existsSync(path.join(directory, 'cpuset.cpus'))) this.#inheritCpuset(directory);
      if (options.usualDevices && existsSync(path.join(directory, 'devices.deny'))) restrictDevices(directory);
    }
    this.limit(id, limits);
    return directories;
  }

  /** v1: an empty cpuset takes no process. */
  #inheritCpuset(directory: string): void {
    for (const level of [path.dirname(directory), directory]) {
      for (const file of ['cpuset.cpus', 'cpuset.mems']) {
        if (readFileSync(path.join(level, file), 'utf8').trim() !== '') continue;
        writeFileSync(path.join(level, file), readFileSync(path.join(path.dirname(level), file), 'utf8').trim());
      }
    }
  }

  /** False where the kernel counts no swap: a limit for it would be refused. */
  limitsSwap(): boolean {
    const { version, mounts } = this.setup;
    return version === 2
      ? existsSync(path.join(mounts.unified ?? '', this.#parent, 'memory.swap.max'))
      : existsSync(path.join(mounts.memory ?? '', 'memory.memsw.limit_in_bytes'));
  }

  /** Sets what is given and leaves the rest. Throws `invalid_limit` where the kernel refuses a value. */
  limit(id: string, limits: Limits): void {
    try {
      this.#limit(id, limits);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === undefined) throw error;
      throw new BulkheadError(
        'invalid_limit',
        code === 'EBUSY' ? 'the task uses more than the new limit' : `the kernel refuses a limit: ${code}`,
        { cause: error },
      );
    }
  }

  #limit(id: string, limits: Limits): void {
    const set = (controller: string, file: string, value: string | number): void => {
      const directory = this.#directories(id).get(this.setup.version === 2 ? 'unified' : controller);
      if (directory !== undefined && existsSync(path.join(directory, file)))
        writeFileSync(path.join(directory, file), String(value));
    };
    const { memoryBytes, cpus, pids, cpuShares, cpusetCpus } = limits;
    if (this.setup.version === 2) {
      if (memoryBytes) {
        set('', 'memory.max', memoryBytes);
        set('', 'memory.swap.max', 0);
      }
      if (cpus) set('', 'cpu.max', `${Math.round(cpus * CPU_PERIOD_US)} ${CPU_PERIOD_US}`);
      if (cpuShares) set('', 'cpu.weight', Math.max(1, Math.round(1 + ((cpuShares - 2) * 9999) / 262142)));
      if (pids !== undefined) set('', 'pids.max', pids > 0 ? pids : 'max');
      if (cpusetCpus) set('', 'cpuset.cpus', cpusetCpus);
      return;
    }
    if (memoryBytes) {
      // The kernel wants memory <= memory+swap at every moment; which order is right depends on the old values.
      try {
        set('memory', 'memory.limit_in_bytes', memoryBytes);
        set('memory', 'memory.memsw.limit_in_bytes', memoryBytes);
      } catch {
        set('memory', 'memory.memsw.limit_in_bytes', memoryBytes);
        set('memory', 'memory.limit_in_bytes', memoryBytes);
      }
    }
    if (cpus) {
      set('cpu', 'cpu.cfs_period_us', CPU_PERIOD_US);
      set('cpu', 'cpu.cfs_quota_us', Math.round(cpus * CPU_PERIOD_US));
    }
    if (cpuShares) set('cpu', 'cpu.shares', cpuShares);
    if (pids !== undefined) set('pids', 'pids.max', pids > 0 ? pids : 'max');
    if (cpusetCpus) set('cpuset', 'cpuset.cpus', cpusetCpus);
  }

  /** All that belong to it, whether they exist or not. */
  directories(id: string): string[] {
    return [...new Set(this.#directories(id).values())];
  }

  usage(id: string): CgroupUsage {
    return readUsage(this.setup.version, this.#directories(id));
  }

  /** How often the kernel killed something in it for want of memory. */
  oomKills(id: string): number {
    return readOomKills(this.setup.version, this.#directories(id));
  }

  pids(id: string): number[] {
    const all = new Set<number>();
    for (const directory of this.#directories(id).values()) {
      try {
        for (const line of readFileSync(path.join(directory, 'cgroup.procs'), 'utf8').split('\n'))
          if (line !== '') all.add(Number(line));
      } catch {}
    }
    return [...all];
  }

  /** Runtimes make a group in every hierarchy there is, also in those without limits of ours. */
  #everywhere(id: string): string[] {
    this.#hierarchies ??= allHierarchies();
    return this.#hierarchies.map((mount) => path.join(mount, this.#parent, id));
  }

  /** Kills what is left inside and removes it; idempotent. */
  async remove(id: string): Promise<void> {
    for (let attempt = 0; attempt < 200; attempt++) {
      for (const pid of this.pids(id)) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {}
      }
      const left = this.#everywhere(id).filter((directory) => !removeTree(directory));
      if (left.length === 0) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Removes the engine's own parent group, when no instance is left in it; from every hierarchy, as runtimes use them all. */
  removeParent(): void {
    for (const mount of allHierarchies()) removeTree(path.join(mount, this.#parent), false);
  }

  list(): string[] {
    const ids = new Set<string>();
    for (const mount of Object.values(this.setup.mounts)) {
      const parent = path.join(mount, this.#parent);
      if (existsSync(parent)) for (const name of readdirSync(parent)) if (/^[0-9a-f]{32}$/.test(name)) ids.add(name);
    }
    return [...ids];
  }
}

function restrictDevices(directory: string): void {
  writeFileSync(path.join(directory, 'devices.deny'), 'a');
  for (const rule of DEVICES) writeFileSync(path.join(directory, 'devices.allow'), rule);
}

/** True when the directory is gone. */
function removeTree(directory: string, recursive = true): boolean {
  if (!existsSync(directory)) return true;
  try {
    if (recursive) {
      for (const entry of readdirSync(directory, { withFileTypes: true }))
        if (entry.isDirectory()) removeTree(path.join(directory, entry.name));
    }
    rmdirSync(directory);
    return true;
  } catch {
    return !existsSync(directory);
  }
}

/** Control groups of instances, for both versions: `/bulkhead-TAG/ID` below every controller. It sets what it is told and decides nothing. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Limits } from '../domain/task.ts';
import type { CgroupSetup } from '../ports/host.ts';

const CPU_PERIOD_US = 100_000;

export interface CgroupUsage {
  cpuNanoseconds: number;
  memoryBytes: number;
  memoryLimitBytes: number;
  pids: number;
  blockReadBytes: number;
  blockWrittenBytes: number;
}

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

export class Cgroups {
  readonly setup: CgroupSetup;
  readonly #parent: string;

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

  /** `linux.cgroupsPath` of a bundle. */
  pathOf(id: string): string {
    return `/${this.#parent}/${id}`;
  }

  #directories(id: string): Map<string, string> {
    return new Map(
      Object.entries(this.setup.mounts).map(([controller, mount]) => [controller, path.join(mount, this.#parent, id)]),
    );
  }

  /** For a runtime that leaves cgroups alone: makes them, sets limits, gives the directories a process has to join. */
  create(id: string, limits: Limits): string[] {
    const directories = [...new Set(this.#directories(id).values())];
    for (const directory of directories) {
      mkdirSync(directory, { recursive: true });
      if (this.setup.version === 1 && existsSync(path.join(directory, 'cpuset.cpus'))) this.#inheritCpuset(directory);
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

  limit(id: string, limits: Limits): void {
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

  #read(id: string, controller: string, file: string): string {
    try {
      return readFileSync(path.join(this.#directories(id).get(controller) ?? '', file), 'utf8');
    } catch {
      return '';
    }
  }

  usage(id: string): CgroupUsage {
    const field = (text: string, name: string): number =>
      Number(new RegExp(`^${name} (\\d+)`, 'm').exec(text)?.[1] ?? 0);
    const number = (text: string): number => (/^\d+/.test(text) ? Number(text) : 0);
    if (this.setup.version === 2) {
      const read = (file: string): string => this.#read(id, 'unified', file);
      const io = read('io.stat');
      const sum = (key: string): number =>
        [...io.matchAll(new RegExp(`${key}=(\\d+)`, 'g'))].reduce((total, match) => total + Number(match[1]), 0);
      return {
        cpuNanoseconds: field(read('cpu.stat'), 'usage_usec') * 1000,
        memoryBytes: Math.max(0, number(read('memory.current')) - field(read('memory.stat'), 'inactive_file')),
        memoryLimitBytes: number(read('memory.max')),
        pids: number(read('pids.current')),
        blockReadBytes: sum('rbytes'),
        blockWrittenBytes: sum('wbytes'),
      };
    }
    const io = this.#read(id, 'blkio', 'blkio.throttle.io_service_bytes');
    const sum = (key: string): number =>
      [...io.matchAll(new RegExp(`^\\d+:\\d+ ${key} (\\d+)`, 'gm'))].reduce(
        (total, match) => total + Number(match[1]),
        0,
      );
    const limit = number(this.#read(id, 'memory', 'memory.limit_in_bytes'));
    return {
      cpuNanoseconds: number(this.#read(id, 'cpuacct', 'cpuacct.usage')),
      memoryBytes: Math.max(
        0,
        number(this.#read(id, 'memory', 'memory.usage_in_bytes')) -
          field(this.#read(id, 'memory', 'memory.stat'), 'total_inactive_file'),
      ),
      memoryLimitBytes: limit > 2 ** 60 ? 0 : limit,
      pids: number(this.#read(id, 'pids', 'pids.current')),
      blockReadBytes: sum('Read'),
      blockWrittenBytes: sum('Write'),
    };
  }

  /** How often the kernel killed something in it for want of memory. */
  oomKills(id: string): number {
    const text =
      this.setup.version === 2
        ? this.#read(id, 'unified', 'memory.events')
        : this.#read(id, 'memory', 'memory.oom_control');
    return Number(/^oom_kill (\d+)/m.exec(text)?.[1] ?? 0);
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

  /** Kills what is left inside and removes it; idempotent. */
  async remove(id: string): Promise<void> {
    for (let attempt = 0; attempt < 200; attempt++) {
      for (const pid of this.pids(id)) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {}
      }
      const left = [...new Set(this.#directories(id).values())].filter((directory) => !removeTree(directory));
      if (left.length === 0) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Removes the engine's own parent group, when no instance is left in it; from every hierarchy, as runtimes use them all. */
  removeParent(): void {
    for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
      const [, target = '', type] = line.split(' ');
      if (type === 'cgroup' || type === 'cgroup2') removeTree(path.join(target, this.#parent), false);
    }
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

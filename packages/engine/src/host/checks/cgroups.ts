/** Control groups: which version, which controllers can really be used, and the hybrid layout that crun refuses. */
import { mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import path from 'node:path';
import { mount } from '../syscall.ts';
import type { Probe } from './probe.ts';

interface Hierarchy {
  path: string;
  version: 1 | 2;
  /** v1: those of the hierarchy; v2: those the root can hand out. */
  controllers: string[];
}

export interface PreparedCgroups {
  /** Controllers that are now v1 hierarchies. */
  mounted: string[];
  failed: { controller: string; reason: string }[];
}

const V1_CONTROLLERS = new Set(
  'blkio cpu cpuacct cpuset devices freezer hugetlb memory misc net_cls net_prio perf_event pids rdma'.split(' '),
);
/** Without these limits cannot be kept. */
const NEEDED = { 1: ['cpu', 'devices', 'freezer', 'memory', 'pids'], 2: ['cpu', 'memory', 'pids'] } as const;
const MS_NOSUID_NODEV_NOEXEC = 2 | 4 | 8;

export function readHierarchies(mountInfo: string = readFileSync('/proc/self/mountinfo', 'utf8')): Hierarchy[] {
  const found = new Map<string, Hierarchy>();
  for (const line of mountInfo.split('\n')) {
    // proc(5): the fields after ` - ` are type, source and super options.
    const [before = '', after = ''] = line.split(' - ');
    const place = (before.split(' ')[4] ?? '').replaceAll('\\040', ' ');
    const [type, , options = ''] = after.split(' ');
    if (type === 'cgroup') {
      const controllers = options.split(',').filter((option) => V1_CONTROLLERS.has(option));
      if (controllers.length > 0) found.set(place, { path: place, version: 1, controllers });
    } else if (type === 'cgroup2') {
      found.set(place, { path: place, version: 2, controllers: listIn(path.join(place, 'cgroup.controllers')) });
    }
  }
  return [...found.values()];
}

function listIn(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split(/\s+/).filter(Boolean);
  } catch {
    return [];
  }
}

/** Controllers that sit on v2 although this host uses v1: crun refuses to start anything while there are any. */
function strays(hierarchies: Hierarchy[]): { controller: string; unified: string }[] {
  if (!hierarchies.some((hierarchy) => hierarchy.version === 1)) return [];
  return hierarchies
    .filter((hierarchy) => hierarchy.version === 2)
    .flatMap(({ path: unified, controllers }) => controllers.map((controller) => ({ controller, unified })));
}

/** Mounts controllers nobody uses on v2 as v1 hierarchies beside the others. Changes nothing on a pure v1 or v2 host. Idempotent. */
export function prepareCgroups(): PreparedCgroups {
  const hierarchies = readHierarchies();
  const answer: PreparedCgroups = { mounted: [], failed: [] };
  const first = hierarchies.find((hierarchy) => hierarchy.version === 1);
  if (!first) return answer;
  for (const { controller, unified } of strays(hierarchies)) {
    const target = path.join(path.dirname(first.path), controller);
    try {
      if (listIn(path.join(unified, 'cgroup.subtree_control')).includes(controller)) {
        throw new Error('groups below the v2 root use it');
      }
      mkdirSync(target, { recursive: true });
      mountHierarchy(controller, target);
      answer.mounted.push(controller);
    } catch (error) {
      answer.failed.push({ controller, reason: (error as Error).message });
    }
  }
  return answer;
}

function mountHierarchy(controller: string, target: string): void {
  try {
    mount('cgroup', target, 'cgroup', MS_NOSUID_NODEV_NOEXEC, controller);
  } catch (error) {
    rmdirSync(target);
    throw error;
  }
}

export function cgroupsProbe(hierarchies: () => Hierarchy[] = readHierarchies): Probe {
  const means = 'memory, CPU and process limits cannot be kept: no level is safe';
  const fix = 'Mount cgroup v2 at /sys/fs/cgroup, or every controller of v1 below it.';
  return { name: 'cgroups', means, fix, limitMs: 3000, run: async () => examine(hierarchies()) };

  function examine(hierarchies: Hierarchy[]) {
    const version = hierarchies.some((hierarchy) => hierarchy.version === 1) ? 1 : 2;
    const used = hierarchies.filter((hierarchy) => hierarchy.version === version);
    if (used.length === 0) return { status: 'failed' as const, found: 'no cgroup file system is mounted', means, fix };
    const refused = used.flatMap(tryGroup);
    const have = used.flatMap((hierarchy) => hierarchy.controllers);
    const missing = NEEDED[version].filter((controller) => !have.includes(controller));
    const found = `v${version}: ${[...have].sort().join(', ')}`;
    if (refused.length > 0) return { status: 'failed' as const, found: `${found}; ${refused.join('; ')}`, means, fix };
    if (missing.length > 0) {
      return {
        status: 'failed' as const,
        found: `${found}; missing: ${missing.join(', ')}`,
        means,
        fix: enable(missing),
      };
    }
    const stray = strays(hierarchies);
    if (stray.length === 0)
      return { status: 'ok' as const, found, means: 'memory, CPU and process limits can be kept' };
    return {
      status: 'warning' as const,
      found: `${found}; hybrid: ${stray.map(({ controller }) => controller).join(', ')} on v2`,
      means: 'crun refuses this layout (runc does not)',
      fix: `Restart the engine, which mounts them, or: ${stray.map(({ controller }) => byHand(controller, used)).join('; ')}`,
    };
  }
}

/** A group of its own, made and removed, in one hierarchy. */
function tryGroup(hierarchy: Hierarchy): string[] {
  const group = path.join(hierarchy.path, `bulkhead-doctor-${process.pid}`);
  try {
    mkdirSync(group);
    rmdirSync(group);
    return [];
  } catch (error) {
    return [`no group can be made in ${hierarchy.path}: ${(error as NodeJS.ErrnoException).code}`];
  }
}

const enable = (controllers: string[]): string =>
  `Enable ${controllers.join(', ')} in the kernel (its command line may disable them, e.g. cgroup_disable=memory).`;

function byHand(controller: string, used: Hierarchy[]): string {
  const target = path.join(path.dirname(used[0]?.path ?? '/sys/fs/cgroup/x'), controller);
  return `mkdir ${target} && mount -t cgroup -o ${controller} cgroup ${target}`;
}

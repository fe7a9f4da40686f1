/** What a task finds mounted. Targets are made by the runtime inside the instance's own root. */
import { existsSync } from 'node:fs';
import type { MountSpec } from '../domain/task.ts';
import { BUSYBOX } from '../ports/busybox.ts';
import type { StartPlan } from '../ports/driver.ts';
import type { BundleFacts } from './facts.ts';

/** What tells about the host or reaches into it (Docker's list, and the host's network devices). */
export const MASKED_PATHS = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
  '/sys/devices/virtual/net',
  '/sys/class/net',
  '/sys/kernel',
  '/sys/module',
  '/sys/block',
  '/sys/dev',
  '/sys/fs/bpf',
];

export const READ_ONLY_PATHS = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

interface OciMount {
  destination: string;
  type: string;
  source: string;
  options: string[];
}

const tmpfs = (destination: string, ...options: string[]): OciMount => ({
  destination,
  type: 'tmpfs',
  source: 'tmpfs',
  options: ['nosuid', 'nodev', ...options],
});
const bind = (source: string, destination: string, ...options: string[]): OciMount => ({
  destination,
  type: 'bind',
  source,
  options: ['rbind', 'rprivate', ...options],
});

/** /sys of the host, read-only: the network namespace is not owned by the task's user namespace, so a fresh one is refused. */
function sys(facts: BundleFacts): OciMount[] {
  if (facts.idMap === undefined)
    return [{ destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] }];
  return [
    bind('/sys', '/sys', 'nosuid', 'noexec', 'nodev', 'ro'),
    tmpfs('/sys/fs/cgroup', 'noexec', 'ro', 'size=0', 'mode=755'),
  ];
}

function asked(mount: MountSpec): OciMount {
  if (mount.type === 'tmpfs') {
    return tmpfs(
      mount.target,
      'noexec',
      ...(mount.readOnly ? ['ro'] : []),
      ...(mount.sizeBytes ? [`size=${mount.sizeBytes}`] : []),
      `mode=${(mount.mode ?? 0o1777).toString(8)}`,
    );
  }
  return bind(mount.source, mount.target, 'nosuid', 'nodev', ...(mount.readOnly ? ['ro'] : ['rw']));
}

export function mountsOf(plan: StartPlan, facts: BundleFacts): OciMount[] {
  const own = new Set(plan.mounts.map((mount) => mount.target));
  const given = [
    bind(facts.files.hosts, '/etc/hosts'),
    bind(facts.files.resolvConf, '/etc/resolv.conf'),
    bind(facts.files.hostname, '/etc/hostname'),
  ].filter((mount) => !own.has(mount.destination));
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    {
      destination: '/dev/shm',
      type: 'tmpfs',
      source: 'shm',
      options: ['nosuid', 'noexec', 'nodev', 'mode=1777', `size=${plan.shmSizeBytes || 64 << 20}`],
    },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
    ...sys(facts),
    ...given,
    ...(facts.tmpSource && !own.has('/tmp') ? [bind(facts.tmpSource, '/tmp', 'nosuid', 'nodev')] : []),
    bind(facts.busyboxPath, BUSYBOX, 'ro', 'nosuid', 'nodev'),
    ...(plan.init && existsSync(facts.initPath)
      ? [bind(facts.initPath, '/.bulkhead/init', 'ro', 'nosuid', 'nodev')]
      : []),
    ...plan.mounts.map(asked),
  ];
}

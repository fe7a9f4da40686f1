/** A plain task and host for policy tests; each test says only what is different. */
import type { Level } from '../../src/domain/level.ts';
import type { TaskSpec } from '../../src/domain/task.ts';
import type { Fingerprint } from '../../src/ports/driver.ts';

export function task(changes: Partial<TaskSpec> = {}): TaskSpec {
  return {
    image: 'alpine:3',
    env: [],
    groupAdd: [],
    labels: {},
    tty: false,
    openStdin: false,
    limits: {},
    mounts: [],
    readOnlyRoot: false,
    ports: [],
    publishAll: false,
    network: 'bridge',
    networkAliases: [],
    extraHosts: [],
    dns: [],
    dnsSearch: [],
    restart: { name: 'no', maxRetries: 0 },
    init: false,
    capAdd: [],
    capDrop: [],
    privileged: false,
    devices: [],
    sysctls: {},
    ulimits: [],
    shmSizeBytes: 64 << 20,
    autoRemove: false,
    log: { maxSizeBytes: 1 << 20, maxFiles: 1 },
    trust: 'trusted',
    ...changes,
  };
}

const has = (level: Level, detail: Record<string, string> = {}): Fingerprint => ({
  level,
  available: true,
  holds: `what holds ${level}`,
  detail,
});
export const lacks = (level: Level): Fingerprint => ({
  level,
  available: false,
  holds: '',
  reason: `no ${level} today`,
  fix: `get ${level}`,
  detail: {},
});
export const unprobed = (level: Level): Fingerprint => ({ level, available: true, holds: '', detail: {} });

export const HOSTS = {
  /** No hardware virtualisation: the microVM is emulated. */
  emulated: [has('container'), has('gvisor'), has('microvm', { accelerator: 'tcg' }), lacks('vm')],
  kvm: [has('container'), has('gvisor'), has('microvm', { accelerator: 'kvm' }), lacks('vm')],
  noGvisor: [has('container'), lacks('gvisor'), has('microvm', { accelerator: 'tcg' }), lacks('vm')],
  containersOnly: [has('container'), lacks('gvisor'), lacks('microvm'), lacks('vm')],
  unprobed: [unprobed('container'), unprobed('gvisor'), unprobed('microvm'), unprobed('vm')],
};

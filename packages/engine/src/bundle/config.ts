/** Makes the OCI runtime configuration of an instance (runtime-spec 1.0, config.md). It mounts and starts nothing. */
import type { ProcessSpec, StartPlan } from '../ports/driver.ts';
import type { BundleFacts } from './facts.ts';
import { MASKED_PATHS, mountsOf, READ_ONLY_PATHS } from './mounts.ts';
import { seccompProfile } from './seccomp.ts';
import type { Identity } from './user.ts';

const CPU_PERIOD_US = 100_000;

export function processConfig(
  process: ProcessSpec,
  identity: Identity,
  capabilities: string[],
  rlimits: unknown[],
): Record<string, unknown> {
  const has = (name: string): boolean => process.env.some((entry) => entry.startsWith(`${name}=`));
  return {
    terminal: process.tty,
    user: { uid: identity.uid, gid: identity.gid, additionalGids: identity.additionalGids },
    args: process.args,
    env: [
      ...process.env,
      ...(has('HOME') ? [] : [`HOME=${identity.home}`]),
      ...(process.tty && !has('TERM') ? ['TERM=xterm'] : []),
    ],
    cwd: process.cwd,
    capabilities: {
      bounding: capabilities,
      effective: capabilities,
      permitted: capabilities,
      inheritable: [],
      ambient: [],
    },
    rlimits,
    noNewPrivileges: true,
  };
}

export function rlimitsOf(plan: StartPlan, hardNofile: number): { type: string; soft: number; hard: number }[] {
  const asked = plan.ulimits.map(({ name, soft, hard }) => ({ type: `RLIMIT_${name.toUpperCase()}`, soft, hard }));
  // Nobody can raise a hard limit without CAP_SYS_RESOURCE; a start must not fail for that.
  return asked.map((limit) =>
    limit.type === 'RLIMIT_NOFILE'
      ? { ...limit, soft: Math.min(limit.soft, hardNofile), hard: Math.min(limit.hard, hardNofile) }
      : limit,
  );
}

export function resourcesOf(plan: StartPlan): Record<string, unknown> {
  const { memoryBytes, cpus, pids, cpuShares, cpusetCpus } = plan.limits;
  const cpu = {
    ...(cpus ? { quota: Math.round(cpus * CPU_PERIOD_US), period: CPU_PERIOD_US } : {}),
    ...(cpuShares ? { shares: cpuShares } : {}),
    ...(cpusetCpus ? { cpus: cpusetCpus } : {}),
  };
  return {
    devices: [{ allow: false, access: 'rwm' }],
    ...(memoryBytes ? { memory: { limit: memoryBytes, swap: memoryBytes } } : {}),
    ...(Object.keys(cpu).length > 0 ? { cpu } : {}),
    ...(pids && pids > 0 ? { pids: { limit: pids } } : {}),
  };
}

export function bundleConfig(plan: StartPlan, facts: BundleFacts): Record<string, unknown> {
  const process: ProcessSpec = plan.init
    ? { ...plan.process, args: ['/.bulkhead/init', '--', ...plan.process.args] }
    : plan.process;
  const mapping = facts.idMap && [{ containerID: 0, hostID: facts.idMap.hostId, size: facts.idMap.count }];
  const namespaces = [
    { type: 'mount' },
    { type: 'pid' },
    { type: 'ipc' },
    { type: 'uts' },
    { type: 'cgroup' },
    { type: 'network', ...(plan.lease ? { path: plan.lease.netnsPath } : {}) },
    ...(mapping ? [{ type: 'user' }] : []),
  ];
  // Those of the network namespace belong to the host's user namespace and are written from outside.
  const sysctl = Object.fromEntries(Object.entries(plan.sysctls).filter(([name]) => !name.startsWith('net.')));
  return {
    ociVersion: '1.0.0',
    process: processConfig(process, facts.identity, plan.capabilities, rlimitsOf(plan, facts.hardNofile)),
    root: { path: facts.root, readonly: plan.readOnlyRoot },
    hostname: plan.hostname,
    mounts: mountsOf(plan, facts),
    linux: {
      ...(mapping ? { uidMappings: mapping, gidMappings: mapping } : {}),
      ...(facts.cgroupsPath ? { cgroupsPath: facts.cgroupsPath } : {}),
      namespaces,
      resources: resourcesOf(plan),
      ...(Object.keys(sysctl).length > 0 ? { sysctl } : {}),
      ...(facts.seccomp ? { seccomp: seccompProfile() } : {}),
      maskedPaths: MASKED_PATHS,
      readonlyPaths: READ_ONLY_PATHS,
    },
  };
}

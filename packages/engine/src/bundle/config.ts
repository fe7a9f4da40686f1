/** Makes the OCI runtime configuration of an instance (runtime-spec 1.0, config.md). It mounts and starts nothing. */
import type { ProcessSpec, StartPlan } from '../ports/driver.ts';
import { COMPILED_FILTER } from './compiled-filters.ts';
import type { BundleFacts } from './facts.ts';
import { MASKED_PATHS, mountsOf, READ_ONLY_PATHS } from './mounts.ts';
import type { Rlimit } from './resource-limits.ts';
import type { Identity } from './user.ts';

const CPU_PERIOD_US = 100_000;

export function processConfig(
  process: ProcessSpec,
  identity: Identity,
  capabilities: string[],
  rlimits: Rlimit[],
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

function resourcesOf(plan: StartPlan, limitsSwap: boolean): Record<string, unknown> {
  const { memoryBytes, cpus, pids, cpuShares, cpusetCpus } = plan.limits;
  const cpu = {
    ...(cpus ? { quota: Math.round(cpus * CPU_PERIOD_US), period: CPU_PERIOD_US } : {}),
    ...(cpuShares ? { shares: cpuShares } : {}),
    ...(cpusetCpus ? { cpus: cpusetCpus } : {}),
  };
  return {
    devices: [{ allow: false, access: 'rwm' }],
    ...(memoryBytes ? { memory: { limit: memoryBytes, ...(limitsSwap ? { swap: memoryBytes } : {}) } } : {}),
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
    process: processConfig(process, facts.identity, plan.capabilities, facts.rlimits),
    root: { path: facts.root, readonly: plan.readOnlyRoot },
    hostname: plan.hostname,
    ...(plan.domainname ? { domainname: plan.domainname } : {}),
    mounts: mountsOf(plan, facts),
    // The rules stay beside it: a runtime that does not know the annotation still has to keep them.
    ...(facts.seccomp?.compiled ? { annotations: { [COMPILED_FILTER]: facts.seccomp.compiled } } : {}),
    linux: {
      ...(mapping ? { uidMappings: mapping, gidMappings: mapping } : {}),
      ...(facts.cgroupsPath ? { cgroupsPath: facts.cgroupsPath } : {}),
      namespaces,
      resources: resourcesOf(plan, facts.limitsSwap),
      ...(Object.keys(sysctl).length > 0 ? { sysctl } : {}),
      ...(facts.seccomp ? { seccomp: facts.seccomp.rules } : {}),
      maskedPaths: MASKED_PATHS,
      readonlyPaths: READ_ONLY_PATHS,
    },
  };
}

/** Refuses tasks whose names, limits, mounts or ports cannot be meant; pure, so nothing is half done. */
import { isIP } from 'node:net';
import { posix } from 'node:path';
import { BulkheadError } from '@bulkhead/contract';
import type { Limits, MountSpec, PortMapping, TaskSpec } from '../domain/task.ts';
import { chooseCapabilities } from './capabilities.ts';
import { checkName } from './names.ts';
import { signalNumber } from './signals.ts';

/** Below this an OCI runtime cannot even start a process. */
const MIN_MEMORY_BYTES = 6 << 20;
const ULIMITS = new Set(
  'core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack'.split(' '),
);
/** Sysctls the kernel keeps per namespace: any other would change the host. */
const SYSCTL =
  /^(?:net\.[a-z0-9_./-]+|kernel\.(?:shmmax|shmall|shmmni|shm_rmid_forced|msgmax|msgmnb|msgmni|sem|domainname|hostname)|fs\.mqueue\.[a-z_]+)$/;
const HOSTNAME =
  /^(?=.{1,64}$)[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?(\.[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?)*$/;

const refuse = (message: string, hint?: string): never => {
  throw new BulkheadError('invalid_request', message, hint ? { hint } : {});
};

function checkText(text: string, what: string): void {
  if (text.includes('\0')) refuse(`${what} holds a NUL character`);
}

export function checkLimits(limits: Limits, cpus: number): void {
  const bad = (message: string): never => {
    throw new BulkheadError('invalid_limit', message);
  };
  const { memoryBytes, pids, cpusetCpus } = limits;
  if (memoryBytes && memoryBytes < MIN_MEMORY_BYTES) bad(`memory ${memoryBytes} is below the minimum of 6m`);
  if (limits.cpus !== undefined && limits.cpus !== 0) {
    if (!Number.isFinite(limits.cpus) || limits.cpus < 0.01) bad(`cpus ${limits.cpus} is below the minimum of 0.01`);
    if (limits.cpus > cpus) bad(`cpus ${limits.cpus} is more than the ${cpus} of this host`);
  }
  if (pids !== undefined && pids < -1) bad(`pids ${pids} is neither a number of processes nor -1`);
  if (limits.cpuShares && (limits.cpuShares < 2 || limits.cpuShares > 262_144)) {
    bad(`cpu shares ${limits.cpuShares} are not from 2 to 262144`);
  }
  if (cpusetCpus === undefined || cpusetCpus === '') return;
  for (const part of cpusetCpus.split(',')) {
    const range = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
    const last = Number(range?.[2] ?? range?.[1]);
    if (!range || last < Number(range[1])) bad(`cpuset ${JSON.stringify(cpusetCpus)} is not a list like 0-2,4`);
    if (last >= cpus) bad(`cpuset ${cpusetCpus} names CPU ${last}; this host has 0 to ${cpus - 1}`);
  }
}

/** Absolute, without `..`, not the root. */
export function checkTarget(target: string): string {
  const bad = (why: string): never => {
    throw new BulkheadError('invalid_mount', `the mount target ${JSON.stringify(target)} ${why}`);
  };
  if (!target.startsWith('/')) bad('is not an absolute path');
  if (target.includes('\0')) bad('holds a NUL character');
  if (target.split('/').includes('..')) bad('holds ".."');
  const normal = posix.normalize(target).replace(/\/+$/, '');
  if (normal === '') bad('is the root itself');
  if (/^\/(proc|sys|\.bulkhead)(\/|$)/.test(normal)) bad('belongs to the system');
  return normal;
}

export function checkMounts(mounts: MountSpec[]): void {
  const targets = new Set<string>();
  for (const mount of mounts) {
    mount.target = checkTarget(mount.target);
    if (targets.has(mount.target))
      throw new BulkheadError('invalid_mount', `two mounts have the target ${mount.target}`);
    targets.add(mount.target);
    if (mount.type === 'bind' && !mount.source.startsWith('/')) {
      throw new BulkheadError(
        'invalid_mount',
        `the bind source ${JSON.stringify(mount.source)} is not an absolute path`,
      );
    }
    checkText(mount.source, 'a mount source');
    if (mount.type === 'volume' && mount.source !== '') checkName(mount.source, 'the name of a volume');
  }
}

export function checkPorts(ports: PortMapping[]): void {
  const taken = new Set<string>();
  for (const { hostIp, hostPort, protocol } of ports) {
    if (hostIp !== '' && isIP(hostIp) === 0) {
      throw new BulkheadError('invalid_port', `${JSON.stringify(hostIp)} is not an address of this host`);
    }
    const key = `${hostIp}:${hostPort}/${protocol}`;
    if (hostPort !== 0 && taken.has(key))
      throw new BulkheadError('invalid_port', `the host port ${key} is given twice`);
    taken.add(key);
  }
}

function checkHosts(task: TaskSpec): void {
  for (const [name, what] of [
    [task.hostname, 'hostname'],
    [task.domainname, 'domain name'],
  ] as const) {
    if (name !== undefined && !HOSTNAME.test(name)) {
      throw new BulkheadError('invalid_name', `${JSON.stringify(name)} cannot be a ${what}`);
    }
  }
  for (const alias of task.networkAliases) checkName(alias, 'a network alias');
  for (const entry of task.extraHosts) {
    const colon = entry.indexOf(':');
    const address = entry.slice(colon + 1).replace(/^\[(.*)\]$/, '$1');
    if (colon < 1 || !HOSTNAME.test(entry.slice(0, colon)) || (address !== 'host-gateway' && isIP(address) === 0)) {
      refuse(`the extra host ${JSON.stringify(entry)} is not NAME:ADDRESS`);
    }
  }
  for (const server of task.dns)
    if (isIP(server) === 0) refuse(`the DNS server ${JSON.stringify(server)} is no address`);
  for (const domain of task.dnsSearch) {
    if (!HOSTNAME.test(domain)) refuse(`${JSON.stringify(domain)} cannot be a search domain`);
  }
}

/** Throws on the first thing that cannot be meant. Normalises mount targets in place. */
export function checkTask(task: TaskSpec, cpus: number): void {
  checkLimits(task.limits, cpus);
  checkMounts(task.mounts);
  checkPorts(task.ports);
  checkHosts(task);
  for (const word of [...(task.command ?? []), ...(task.entrypoint ?? [])]) checkText(word, 'the command');
  for (const entry of task.env) {
    checkText(entry, 'the environment');
    if (entry === '' || entry.startsWith('=')) refuse(`the environment entry ${JSON.stringify(entry)} has no name`);
  }
  if (task.workdir !== undefined && !task.workdir.startsWith('/')) {
    refuse(`the working directory ${JSON.stringify(task.workdir)} is not an absolute path`);
  }
  for (const text of [task.workdir ?? '', task.user ?? '', ...task.groupAdd]) checkText(text, 'a name');
  if (task.stopSignal !== undefined) signalNumber(task.stopSignal);
  chooseCapabilities(task.capAdd, task.capDrop, task.privileged);
  for (const limit of task.ulimits) {
    if (!ULIMITS.has(limit.name)) refuse(`there is no ulimit ${JSON.stringify(limit.name)}`);
    if (limit.soft !== -1 && limit.hard !== -1 && limit.soft > limit.hard) {
      throw new BulkheadError('invalid_limit', `ulimit ${limit.name}: soft ${limit.soft} is above hard ${limit.hard}`);
    }
  }
  for (const [name, value] of Object.entries(task.sysctls)) {
    if (!SYSCTL.test(name)) {
      throw new BulkheadError(
        'not_granted',
        `the sysctl ${JSON.stringify(name)} is not one an instance has of its own`,
      );
    }
    checkText(value, 'a sysctl');
  }
  if (task.restart.name !== 'no' && task.autoRemove)
    refuse('a restart policy and automatic removal contradict each other');
  if (task.network === 'none' && task.ports.length > 0) {
    throw new BulkheadError('invalid_port', 'ports cannot be published without a network');
  }
}

/** A request of the API becomes a task: every default in one place. */
import type { CreateInstance } from '@bulkhead/contract';
import type { TaskSpec } from '../domain/task.ts';
import { DEFAULT_HEALTH } from './process.ts';

export const DEFAULT_NETWORK = 'bridge';
const DEFAULT_SHM_BYTES = 64 << 20;
const DEFAULT_LOG = { maxSizeBytes: 16 << 20, maxFiles: 5 };

export function taskOf(request: CreateInstance): TaskSpec {
  const { healthCheck, restart } = request;
  const network = request.network === undefined || request.network === 'default' ? DEFAULT_NETWORK : request.network;
  const task: TaskSpec = {
    image: request.image,
    env: request.env ?? [],
    groupAdd: request.groupAdd ?? [],
    labels: request.labels ?? {},
    tty: request.tty ?? false,
    openStdin: request.openStdin ?? false,
    limits: withoutZeros(request.limits ?? {}),
    mounts: (request.mounts ?? []).map((mount) => ({
      ...mount,
      source: mount.source ?? '',
      readOnly: mount.readOnly ?? false,
    })),
    readOnlyRoot: request.readOnlyRoot ?? false,
    ports: (request.ports ?? []).map((port) => ({
      hostIp: port.hostIp || '0.0.0.0',
      hostPort: port.hostPort ?? 0,
      port: port.port,
      protocol: port.protocol ?? 'tcp',
    })),
    publishAll: request.publishAll ?? false,
    network,
    networkAliases: request.networkAliases ?? [],
    extraHosts: request.extraHosts ?? [],
    dns: request.dns ?? [],
    dnsSearch: request.dnsSearch ?? [],
    restart: { name: restart?.name ?? 'no', maxRetries: restart?.maxRetries ?? 0 },
    init: request.init ?? false,
    capAdd: request.capAdd ?? [],
    capDrop: request.capDrop ?? [],
    privileged: request.privileged ?? false,
    devices: request.devices ?? [],
    sysctls: request.sysctls ?? {},
    ulimits: request.ulimits ?? [],
    shmSizeBytes: request.shmSizeBytes || DEFAULT_SHM_BYTES,
    autoRemove: request.autoRemove ?? false,
    log: { ...DEFAULT_LOG, ...request.log },
    trust: request.trust ?? 'trusted',
  };
  // With exactOptionalPropertyTypes semantics in the database: absent stays absent.
  for (const key of ['command', 'entrypoint', 'workdir', 'user', 'hostname', 'domainname', 'stopSignal'] as const) {
    const value = request[key];
    if (value !== undefined) Object.assign(task, { [key]: value });
  }
  if (request.stopTimeoutMs !== undefined) task.stopTimeoutMs = request.stopTimeoutMs;
  if (request.isolation !== undefined) task.isolation = request.isolation;
  if (healthCheck) task.healthCheck = { ...DEFAULT_HEALTH, ...healthCheck };
  return task;
}

/** Docker's clients send 0 for "no limit". */
export function withoutZeros<T extends object>(limits: T): T {
  return Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== 0 && value !== '')) as T;
}

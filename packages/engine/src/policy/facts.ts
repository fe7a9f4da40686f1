/** What a condition may ask about: a task, its image's name, this host. An image's own labels are not among them: no image steers the engine. */
import { Environment } from '@marcbachmann/cel-js';
import type { TaskSpec } from '../domain/task.ts';
import type { Fingerprint } from '../ports/driver.ts';
import type { ImageRecord } from '../ports/images.ts';

/** Types as CEL names them; docs/policy.md has the meanings. */
const PORT = { port: 'int', protocol: 'string', hostIp: 'string', hostPort: 'int' } as const;
const TASK = {
  trust: 'string',
  isolation: 'string',
  user: 'string',
  capAdd: 'list<string>',
  capDrop: 'list<string>',
  privileged: 'bool',
  network: 'string',
  exposed: 'bool',
  ports: 'list<Port>',
  bindPaths: 'list<string>',
  volumes: 'list<string>',
  devices: 'list<string>',
  readOnlyRoot: 'bool',
  labels: 'map<string, string>',
} as const;
const IMAGE = {
  reference: 'string',
  registry: 'string',
  repository: 'string',
  tag: 'string',
  digestPinned: 'bool',
  pulledFrom: 'list<string>',
} as const;
const HOST = { levels: 'list<string>', hardwareVirtualisation: 'bool' } as const;

/** The fields of each variable. */
export const FACTS: Readonly<Record<string, readonly string[]>> = {
  task: Object.keys(TASK),
  image: Object.keys(IMAGE),
  host: Object.keys(HOST),
};

export interface Facts {
  task: { [K in keyof typeof TASK]: unknown } & { ports: Record<keyof typeof PORT, string | number>[] };
  image: { [K in keyof typeof IMAGE]: string | boolean | string[] };
  host: { levels: string[]; hardwareVirtualisation: boolean };
}

/** Typed, so that an unknown fact is a mistake found when the file is read, not when a task comes. */
export function factEnvironment(): Environment {
  return new Environment()
    .registerType({ name: 'Port', schema: PORT })
    .registerType({ name: 'Task', schema: TASK })
    .registerType({ name: 'Image', schema: IMAGE })
    .registerType({ name: 'Host', schema: HOST })
    .registerVariable('task', 'Task')
    .registerVariable('image', 'Image')
    .registerVariable('host', 'Host');
}

/**
 * A level nobody has probed yet says it is available and holds nothing (see `Levels` of the lifecycle). Until it is known it
 * counts as the best it could be; the caller probes it when the choice falls on it, and asks again.
 */
export const isUnprobed = (level: Fingerprint): boolean => level.available && level.holds === '';

export function factsOf(task: TaskSpec, image: ImageRecord | undefined, levels: readonly Fingerprint[]): Facts {
  const microvm = levels.find((level) => level.level === 'microvm' && level.available);
  return {
    task: {
      trust: task.trust,
      isolation: task.isolation ?? '',
      user: task.user ?? '',
      capAdd: task.capAdd.map(capabilityName),
      capDrop: task.capDrop.map(capabilityName),
      privileged: task.privileged,
      network: task.network,
      exposed: task.ports.length > 0 || task.publishAll,
      ports: task.ports.map(({ port, protocol, hostIp, hostPort }) => ({ port, protocol, hostIp, hostPort })),
      bindPaths: task.mounts.filter((mount) => mount.type === 'bind').map((mount) => mount.source),
      volumes: task.mounts.filter((mount) => mount.type === 'volume').map((mount) => mount.source),
      devices: task.devices.map(devicePath),
      readOnlyRoot: task.readOnlyRoot,
      labels: task.labels,
    },
    image: imageFacts(task.image, image),
    host: {
      levels: levels.filter((level) => level.available).map((level) => level.level),
      hardwareVirtualisation: microvm !== undefined && (isUnprobed(microvm) || microvm.detail.accelerator === 'kvm'),
    },
  };
}

/** CEL's whole numbers are BigInt. */
export function forEvaluation(facts: Facts): Record<string, unknown> {
  const ports = facts.task.ports.map((port) => ({
    ...port,
    port: BigInt(port.port),
    hostPort: BigInt(port.hostPort),
  }));
  return { ...facts, task: { ...facts.task, ports } };
}

/** `NET_ADMIN`, however it was written. */
export const capabilityName = (name: string): string => name.toUpperCase().replace(/^CAP_/, '');

/** Of `HOST[:INSIDE[:rwm]]` the host's part. */
export const devicePath = (device: string): string => device.split(':')[0] ?? device;

function imageFacts(reference: string, image: ImageRecord | undefined): Facts['image'] {
  const [beforeDigest = '', digest] = reference.replace(/^docker:\/\//, '').split('@');
  const pulledFrom = (image?.repoDigests ?? []).map((name) => name.split('@')[0] ?? '');
  const facts = { reference, digestPinned: digest !== undefined, pulledFrom };
  // An id or an archive names no registry.
  if (isImageId(beforeDigest, image) || /^(docker-archive|oci-archive|oci|docker-daemon):/.test(reference)) {
    return { ...facts, registry: '', repository: '', tag: '' };
  }
  const colon = beforeDigest.lastIndexOf(':');
  const tagged = colon > beforeDigest.lastIndexOf('/');
  const name = tagged ? beforeDigest.slice(0, colon) : beforeDigest;
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const named = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase();
  const registry = named && first !== 'index.docker.io' ? first : 'docker.io';
  const path = named ? name.slice(slash + 1) : name;
  return {
    ...facts,
    registry,
    repository: registry === 'docker.io' && !path.includes('/') ? `library/${path}` : path,
    tag: tagged ? beforeDigest.slice(colon + 1) : digest === undefined ? 'latest' : '',
  };
}

function isImageId(text: string, image: ImageRecord | undefined): boolean {
  const hex = text.replace(/^sha256:/, '');
  if (!/^[0-9a-f]{4,64}$/.test(hex)) return false;
  return text.startsWith('sha256:') || image?.id.startsWith(`sha256:${hex}`) === true;
}

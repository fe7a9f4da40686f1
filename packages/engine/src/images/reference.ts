/** Image references: what a user writes, taken apart and made whole. It knows no registry and asks none. */
import { isIP } from 'node:net';
import { BulkheadError } from '@bulkhead/contract';

export interface ImageName {
  /** `docker.io`, `127.0.0.1:5000`. */
  registry: string;
  /** `library/alpine`. */
  repository: string;
  tag?: string;
  /** `sha256:...`. */
  digest?: string;
}

/** Where an image comes from or goes to, as skopeo names it. */
export type Source =
  | { transport: 'docker'; name: ImageName }
  | { transport: 'docker-archive' | 'oci-archive' | 'oci' | 'docker-daemon'; location: string };

const TRANSPORTS = ['docker-archive', 'oci-archive', 'oci', 'docker-daemon'] as const;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const DOMAIN = /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*$/;
const NAME_MAX = 255;

function refuse(reference: string, why: string): never {
  const shown = JSON.stringify(reference.length > 120 ? `${reference.slice(0, 120)}...` : reference);
  throw new BulkheadError('invalid_reference', `${shown} is not an image reference: ${why}`);
}

export function parseSource(reference: string): Source {
  for (const transport of TRANSPORTS) {
    if (!reference.startsWith(`${transport}:`)) continue;
    const location = reference.slice(transport.length + 1);
    if (location === '') refuse(reference, `nothing follows ${transport}:`);
    if (/[\0\n\r]/.test(location)) refuse(reference, 'control characters are not allowed');
    return { transport, location };
  }
  return { transport: 'docker', name: parseName(reference.replace(/^docker:\/\//, '')) };
}

/** `[REGISTRY/]NAME[:TAG][@sha256:DIGEST]`, made whole: `alpine` is `docker.io/library/alpine:latest`. */
export function parseName(reference: string): ImageName {
  if (reference === '') refuse(reference, 'it is empty');
  const [beforeDigest, digest, ...more] = reference.split('@') as [string, string | undefined, ...string[]];
  if (more.length > 0) refuse(reference, 'it has more than one @');
  if (digest !== undefined && !DIGEST.test(digest)) {
    refuse(reference, 'after @ comes sha256: and 64 lower-case hexadecimal digits');
  }
  const colon = beforeDigest.lastIndexOf(':');
  const hasTag = colon > beforeDigest.lastIndexOf('/');
  const tag = hasTag ? beforeDigest.slice(colon + 1) : undefined;
  if (tag !== undefined && !TAG.test(tag)) {
    refuse(reference, `the tag ${JSON.stringify(tag.slice(0, 130))} is not 1 to 128 letters, digits, _, . and -`);
  }
  const { registry, repository } = splitRegistry(reference, hasTag ? beforeDigest.slice(0, colon) : beforeDigest);
  const effectiveTag = tag ?? (digest === undefined ? 'latest' : undefined);
  return {
    registry,
    repository,
    ...(effectiveTag === undefined ? {} : { tag: effectiveTag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

function splitRegistry(reference: string, name: string): { registry: string; repository: string } {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const named = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase();
  const registry = named ? checkedRegistry(reference, first) : 'docker.io';
  const rest = named ? name.slice(slash + 1) : name;
  const components = rest.split('/');
  for (const component of components) checkComponent(reference, component);
  const official = (registry === 'docker.io' || registry === 'index.docker.io') && components.length === 1;
  const repository = official ? `library/${rest}` : rest;
  if (registry.length + repository.length + 1 > NAME_MAX) refuse(reference, `the name is longer than ${NAME_MAX}`);
  return { registry: registry === 'index.docker.io' ? 'docker.io' : registry, repository };
}

function checkComponent(reference: string, component: string): void {
  if (component === '') refuse(reference, 'a part of the name is empty');
  if (COMPONENT.test(component)) return;
  if (component !== component.toLowerCase()) refuse(reference, 'the name must be lower case');
  refuse(reference, `the name part ${JSON.stringify(component.slice(0, 60))} has characters that are not allowed`);
}

function checkedRegistry(reference: string, registry: string): string {
  const host = hostOf(registry);
  const port = registry.slice(registry.startsWith('[') ? host.length + 2 : host.length);
  if (isIP(host) === 0 && !DOMAIN.test(host)) {
    refuse(reference, `${JSON.stringify(registry.slice(0, 60))} is not a registry's address`);
  }
  if (port !== '' && !(/^:\d{1,5}$/.test(port) && Number(port.slice(1)) <= 65_535)) {
    refuse(reference, `${JSON.stringify(registry.slice(0, 60))} has no valid port`);
  }
  return registry;
}

function hostOf(registry: string): string {
  return /^\[([^\]]*)\]/.exec(registry)?.[1] ?? registry.replace(/:.*$/, '');
}

/** `docker.io/library/alpine`. */
export function repositoryOf(name: ImageName): string {
  return `${name.registry}/${name.repository}`;
}

/** `docker.io/library/alpine:3`; undefined for a name by digest only. */
export function tagOf(name: ImageName): string | undefined {
  return name.tag === undefined || name.digest !== undefined ? undefined : `${repositoryOf(name)}:${name.tag}`;
}

/** As skopeo takes it after `docker://`: a digest wins over a tag. */
export function exactName(name: ImageName): string {
  return name.digest === undefined ? `${repositoryOf(name)}:${name.tag}` : `${repositoryOf(name)}@${name.digest}`;
}

/** Registries on loopback may speak plain http. */
export function isLoopback(registry: string): boolean {
  const host = hostOf(registry);
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

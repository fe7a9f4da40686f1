/** Image manifests, indexes and configurations: parsed, and refused where they are malformed or contradict themselves. */
import { BulkheadError } from '@bulkhead/contract';
import type { ImageConfig } from '../ports/images.ts';

export const MANIFEST_MAX_BYTES: number = 4 * 2 ** 20;
export const CONFIG_MAX_BYTES: number = 8 * 2 ** 20;
const LAYERS_MAX = 500;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

export interface Descriptor {
  mediaType: string;
  digest: string;
  sizeBytes: number;
}

export interface IndexEntry extends Descriptor {
  os?: string;
  architecture?: string;
  variant?: string;
  annotations: Record<string, string>;
}

export interface ImageManifest {
  kind: 'image';
  mediaType: string;
  config: Descriptor;
  /** Lowest first. */
  layers: Descriptor[];
}

export type Manifest = ImageManifest | { kind: 'index'; entries: IndexEntry[] };

export interface ParsedConfig {
  architecture: string;
  os: string;
  /** Unix milliseconds. */
  createdAt: number;
  diffIds: string[];
  config: ImageConfig;
}

type Json = Record<string, unknown>;

function refuse(why: string): never {
  throw new BulkheadError('invalid_manifest', `the image's manifest is refused: ${why}`);
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseObject(bytes: Buffer, what: string, maxBytes: number): Json {
  if (bytes.length > maxBytes) refuse(`the ${what} is larger than ${maxBytes} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    refuse(`the ${what} is not JSON`);
  }
  return isObject(value) ? value : refuse(`the ${what} is not a JSON object`);
}

function descriptor(value: unknown, what: string): Descriptor {
  if (!isObject(value)) refuse(`${what} is missing`);
  const { digest, size, mediaType } = value;
  if (typeof digest !== 'string' || !DIGEST.test(digest)) refuse(`${what} has no sha256 digest`);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) refuse(`${what} has no valid size`);
  return { digest, sizeBytes: size, mediaType: typeof mediaType === 'string' ? mediaType : '' };
}

export function parseManifest(bytes: Buffer): Manifest {
  const json = parseObject(bytes, 'manifest', MANIFEST_MAX_BYTES);
  if (json.schemaVersion !== 2) refuse('only schema version 2 is supported');
  const isIndex = json.manifests !== undefined;
  if (isIndex && (json.config !== undefined || json.layers !== undefined))
    refuse('it is an index and an image at once');
  if (isIndex) return { kind: 'index', entries: indexEntries(json.manifests) };
  if (!Array.isArray(json.layers)) refuse('it has no layers');
  if (json.layers.length > LAYERS_MAX) refuse(`it has more than ${LAYERS_MAX} layers`);
  const layers = json.layers.map((layer, index) => descriptor(layer, `layer ${index}`));
  const mediaType = typeof json.mediaType === 'string' ? json.mediaType : 'application/vnd.oci.image.manifest.v1+json';
  return { kind: 'image', mediaType, config: descriptor(json.config, 'the configuration'), layers };
}

function indexEntries(value: unknown): IndexEntry[] {
  if (!Array.isArray(value)) refuse('its list of manifests is none');
  return value.map((item, index) => {
    const platform = isObject(item) && isObject(item.platform) ? item.platform : {};
    const entry: IndexEntry = {
      ...descriptor(item, `manifest ${index}`),
      annotations: texts((item as Json).annotations),
    };
    for (const key of ['os', 'architecture', 'variant'] as const) {
      const text = platform[key];
      if (typeof text === 'string') entry[key] = text;
    }
    return entry;
  });
}

export interface Platform {
  os: string;
  architecture: string;
  variant?: string;
}

export function hostPlatform(): Platform {
  const names: Record<string, string> = { x64: 'amd64', ia32: '386' };
  return { os: 'linux', architecture: names[process.arch] ?? process.arch };
}

/** `os/arch[/variant]`. */
export function parsePlatform(text: string): Platform {
  const match = /^([a-z0-9]+)\/([a-z0-9_]+)(?:\/([a-z0-9]+))?$/.exec(text);
  if (match === null)
    throw new BulkheadError('invalid_request', `${JSON.stringify(text)} is not a platform like linux/amd64`);
  return { os: match[1]!, architecture: match[2]!, ...(match[3] === undefined ? {} : { variant: match[3] }) };
}

export function selectPlatform(entries: IndexEntry[], wanted: Platform): IndexEntry {
  const found = entries.find(
    (entry) =>
      entry.os === wanted.os &&
      entry.architecture === wanted.architecture &&
      (wanted.variant === undefined || entry.variant === wanted.variant),
  );
  if (found !== undefined) return found;
  const offered = entries
    .map((entry) => `${entry.os ?? '?'}/${entry.architecture ?? '?'}`)
    .filter((name) => !name.includes('unknown'));
  const wantedName = `${wanted.os}/${wanted.architecture}`;
  throw new BulkheadError(
    'platform_missing',
    `the image has no variant for ${wantedName}; it has ${offered.join(', ') || 'none'}`,
  );
}

function list(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
}

function texts(value: unknown): Record<string, string> {
  if (!isObject(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
  );
}

function keys(value: unknown): string[] {
  return isObject(value) ? Object.keys(value) : [];
}

function word(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** The configuration, checked against its manifest: as many layers in one as in the other. */
export function parseConfig(bytes: Buffer, layerCount: number): ParsedConfig {
  const json = parseObject(bytes, 'configuration', CONFIG_MAX_BYTES);
  const diffIds = isObject(json.rootfs) ? list(json.rootfs.diff_ids) : [];
  if (diffIds.some((id) => !DIGEST.test(id))) refuse('the configuration has a layer without sha256 digest');
  if (diffIds.length !== layerCount) refuse(`it has ${layerCount} layers, its configuration ${diffIds.length}`);
  const created = Date.parse(word(json.created));
  return {
    architecture: word(json.architecture),
    os: word(json.os) || 'linux',
    createdAt: Number.isNaN(created) ? 0 : created,
    diffIds,
    config: imageConfig(isObject(json.config) ? json.config : {}),
  };
}

function imageConfig(json: Json): ImageConfig {
  const stopSignal = word(json.StopSignal);
  return {
    entrypoint: list(json.Entrypoint),
    cmd: list(json.Cmd),
    env: list(json.Env),
    workdir: word(json.WorkingDir),
    user: word(json.User),
    labels: texts(json.Labels),
    exposedPorts: keys(json.ExposedPorts),
    volumes: keys(json.Volumes),
    ...(stopSignal === '' ? {} : { stopSignal }),
    ...(isObject(json.Healthcheck) ? { healthcheck: healthcheck(json.Healthcheck) } : {}),
  };
}

function healthcheck(json: Json): NonNullable<ImageConfig['healthcheck']> {
  const result: NonNullable<ImageConfig['healthcheck']> = {};
  if (Array.isArray(json.Test)) result.Test = list(json.Test);
  for (const key of ['Interval', 'Timeout', 'StartPeriod', 'Retries'] as const) {
    const value = json[key];
    if (typeof value === 'number' && Number.isFinite(value) && value >= 0) result[key] = value;
  }
  return result;
}

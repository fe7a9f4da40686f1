/** Images by digest: one content store for all levels. */
import type { Readable } from 'node:stream';

/** The parts of an OCI image configuration a task uses (image-spec v1, config.md). */
export interface ImageConfig {
  entrypoint: string[];
  cmd: string[];
  env: string[];
  workdir: string;
  user: string;
  labels: Record<string, string>;
  exposedPorts: string[];
  volumes: string[];
  stopSignal?: string;
  /** Docker's own extension; durations in nanoseconds. */
  healthcheck?: { Test?: string[]; Interval?: number; Timeout?: number; StartPeriod?: number; Retries?: number };
}

export interface ImageRecord {
  /** Digest of the image configuration, `sha256:...`: what Docker calls the image id. */
  id: string;
  /** Digest of the manifest in the store. */
  manifestDigest: string;
  /** Names with tag, normalised: `docker.io/library/alpine:3`. */
  tags: string[];
  /** `name@sha256:...` as pulled. */
  repoDigests: string[];
  architecture: string;
  os: string;
  createdAt: number;
  /** Bytes of all unpacked layers. */
  sizeBytes: number;
  /** diff ids, lowest first. */
  layers: string[];
  config: ImageConfig;
}

/** One line of progress; `layer` absent for the image as a whole. */
export interface Progress {
  phase: 'resolving' | 'downloading' | 'verifying' | 'unpacking' | 'pushing' | 'building' | 'done';
  layer?: string;
  currentBytes?: number;
  totalBytes?: number;
  message?: string;
}

export type OnProgress = (progress: Progress) => void;

export interface PullOptions {
  /** registries.conf-like: allow plain http for this registry (loopback registries always may). */
  insecure?: boolean;
  authFile?: string;
  /** `os/arch`, default the host's. */
  platform?: string;
  signal?: AbortSignal;
  onProgress?: OnProgress;
}

export interface Pruned {
  images: string[];
  freedBytes: number;
}

export interface ImageStore {
  /** From a skopeo transport reference: `name`, `docker://`, `docker-archive:`, `oci-archive:`, `oci:`, `docker-daemon:`. */
  pull(reference: string, options: PullOptions): Promise<ImageRecord>;
  push(reference: string, destination: string, options: PullOptions): Promise<void>;
  /** By tag, id, unique id prefix (>= 4 hex digits) or name@digest; undefined where unknown. */
  find(reference: string): ImageRecord | undefined;
  list(): ImageRecord[];
  tag(reference: string, name: string): void;
  /** Untags, and removes the image when no tag is left. `inUse` answers for ids that must stay. */
  remove(
    reference: string,
    options: { force: boolean; inUse: (imageId: string) => boolean },
  ): Promise<{ untagged: string[]; deleted: string[] }>;
  load(archive: Readable, onProgress?: OnProgress): Promise<ImageRecord[]>;
  save(references: string[], format: 'docker-archive' | 'oci-archive'): Promise<Readable>;
  /** `context` is a tar of the build directory. */
  build(
    context: Readable,
    options: {
      dockerfile: string;
      tag?: string;
      buildArgs: Record<string, string>;
      target?: string;
      noCache?: boolean;
      /** What RUN steps reach: a network of their own (default), or nothing. The host's they never do. */
      network?: 'default' | 'none';
      onProgress?: OnProgress;
    },
  ): Promise<ImageRecord>;
  prune(options: { all: boolean; inUse: (imageId: string) => boolean }): Promise<Pruned>;
  /** Removes temporary files of a crash and re-checks the index; run once at start. */
  recover(): Promise<void>;
}

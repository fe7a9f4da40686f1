/** A temporary OCI layout whose blobs are the store's: what skopeo and buildah read from and write to. */
import { readFileSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BulkheadError } from '@bulkhead/contract';
import type { BlobStore } from './blob-store.ts';
import { type IndexEntry, MANIFEST_MAX_BYTES, parseManifest } from './manifest.ts';

export class OciLayout {
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async make(parent: string): Promise<OciLayout> {
    await mkdir(parent, { recursive: true, mode: 0o700 });
    return new OciLayout(await mkdtemp(path.join(parent, 'layout-')));
  }

  /** One that holds the image `manifestDigest` of the store. */
  static async of(manifestDigest: string, blobs: BlobStore, parent: string): Promise<OciLayout> {
    const bytes = await blobs.read(manifestDigest, MANIFEST_MAX_BYTES);
    const manifest = parseManifest(bytes);
    if (manifest.kind !== 'image') throw new BulkheadError('invalid_manifest', `${manifestDigest} is an index`);
    const layout = await OciLayout.make(parent);
    await layout.point({ digest: manifestDigest, sizeBytes: bytes.length, mediaType: manifest.mediaType });
    return layout;
  }

  /** As skopeo names it. */
  get reference(): string {
    return `oci:${this.directory}:image`;
  }

  /** Makes `manifest` the only image of this layout. */
  async point(manifest: { digest: string; sizeBytes: number; mediaType: string }): Promise<void> {
    await writeFile(path.join(this.directory, 'oci-layout'), layoutMarker());
    await writeFile(path.join(this.directory, 'index.json'), indexOf([{ ...manifest, name: 'image' }]));
  }

  /** What was copied into it. */
  entries(): IndexEntry[] {
    const manifest = parseManifest(readFileSync(path.join(this.directory, 'index.json')));
    if (manifest.kind !== 'index') throw new BulkheadError('invalid_manifest', 'the index of the layout is none');
    return manifest.entries;
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export function layoutMarker(): string {
  return JSON.stringify({ imageLayoutVersion: '1.0.0' });
}

export function indexOf(images: { digest: string; sizeBytes: number; mediaType: string; name?: string }[]): string {
  const manifests = images.map(({ digest, sizeBytes, mediaType, name }) => ({
    mediaType,
    digest,
    size: sizeBytes,
    ...(name === undefined ? {} : { annotations: { 'org.opencontainers.image.ref.name': name } }),
  }));
  return JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests });
}

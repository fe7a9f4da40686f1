/** Copies an image of the store to a registry or into an archive. */
import { readFileSync } from 'node:fs';
import { BulkheadError } from '@bulkhead/contract';
import type { ImageRecord, PullOptions } from '../ports/images.ts';
import type { LoaderParts } from './archive-load.ts';
import { OciLayout } from './oci-layout.ts';
import { exactName, parseSource } from './reference.ts';
import { accessFlags } from './registry-pull.ts';
import { skopeo } from './skopeo.ts';

export class ImagePush {
  readonly #parts: LoaderParts;

  constructor(parts: LoaderParts) {
    this.#parts = parts;
  }

  async push(record: ImageRecord, destination: string, options: PullOptions): Promise<void> {
    const { blobs, temporary, stallMs, dockerHost } = this.#parts;
    const target = parseSource(destination);
    const docker = target.transport === 'docker';
    const to = docker ? `docker://${exactName(target.name)}` : `${target.transport}:${target.location}`;
    if (docker && target.name.digest !== undefined) {
      throw new BulkheadError('invalid_reference', `${JSON.stringify(destination)} has a digest; push to a tag`);
    }
    const layout = await OciLayout.of(record.manifestDigest, blobs, temporary);
    try {
      const daemon =
        target.transport === 'docker-daemon' && dockerHost !== undefined ? ['--dest-daemon-host', dockerHost] : [];
      const access = docker ? accessFlags('--dest-', target.name, options) : daemon;
      const flags = ['--quiet', '--src-shared-blob-dir', blobs.directory, ...access];
      options.onProgress?.({ phase: 'pushing', message: destination });
      await skopeo(['copy', ...flags, layout.reference, to], {
        subject: destination,
        registry: docker,
        stallMs,
        progress: bytesMoved,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
      options.onProgress?.({ phase: 'done', message: destination });
    } finally {
      layout.remove();
    }
  }
}

/** skopeo is silent while it copies: what it has read and written tells whether the other end still takes anything. */
function bytesMoved(pid: number): number {
  try {
    const counts = readFileSync(`/proc/${pid}/io`, 'utf8').matchAll(/^[rw]char: (\d+)$/gm);
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
  } catch {
    return -1;
  }
}

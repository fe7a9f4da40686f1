/** Reads and writes the caller's own files; a file that is not whole does not appear. */
import { createReadStream, createWriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { type Readable, pipeline as streamPipeline, type Writable } from 'node:stream';
import { promisify } from 'node:util';
import { BulkheadError } from '@bulkhead/contract/errors';

const pipeline = promisify(streamPipeline);

export async function openFile(path: string): Promise<Readable> {
  try {
    await (await open(path, 'r')).close();
  } catch (cause) {
    throw new BulkheadError('usage', `cannot read ${path}: ${(cause as Error).message}`, {
      hint: 'Name a file that exists and can be read.',
      cause,
    });
  }
  return createReadStream(path);
}

/** Resolves when `to` can take more. */
export function write(to: Writable, chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => to.write(chunk, (error) => (error ? reject(error) : resolve())));
}

export async function writeWhole(path: string, from: Readable): Promise<void> {
  const partial = `${path}.partial-${process.pid}`;
  try {
    await pipeline(from, createWriteStream(partial, { flags: 'wx', mode: 0o644 }));
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    if (!(error as NodeJS.ErrnoException).syscall) throw error;
    throw new BulkheadError('usage', `cannot write ${path}: ${(error as Error).message}`, {
      hint: 'Choose a place that can be written.',
      cause: error,
    });
  }
}

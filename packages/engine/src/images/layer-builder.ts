/** Builds a layer's squashfs from its blob in one stream: verify, decompress, filter, sqfstar. Only a whole and verified one gets its name. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { BulkheadError } from '@bulkhead/contract';
import { emptyPlan, LayerFilter, type LayerLimits, type LayerPlan } from './layer-filter.ts';
import { rejected } from './tar-format.ts';

export interface LayerJob {
  blobPath: string;
  blobDigest: string;
  blobBytes: number;
  /** Digest of the uncompressed tar; what the image's configuration promises. */
  diffId: string;
  /** In the same directory as `target`. */
  temporary: string;
  target: string;
  limits?: LayerLimits;
}

/** More than any real image, less than what a machine cannot survive. */
const LIMITS: LayerLimits = { entries: 1_000_000, unpackedBytes: 64 * 2 ** 30 };
const RATIO_MAX = 1000;
const RATIO_FROM_BYTES = 2 ** 30;
const CHUNK_BYTES = 512 * 1024;

/**
 * Uncompressed: the page cache then holds what tasks read as it is, a virtual machine does not decompress, and building
 * takes no longer than writing (docs/decisions/0001-root-file-system.md).
 */
const SQUASHFS = ['-noI', '-noD', '-noF', '-noX', '-no-fragments', '-no-duplicates'];
const PLAIN = [
  '-root-mode',
  '755',
  '-root-uid',
  '0',
  '-root-gid',
  '0',
  '-mkfs-time',
  '0',
  '-root-time',
  '0',
  '-mem',
  '256M',
];

export async function buildLayer(job: LayerJob): Promise<{ unpackedBytes: number }> {
  try {
    let plan: LayerPlan | undefined = emptyPlan();
    let unpackedBytes = 0;
    for (let pass = 0; plan !== undefined; pass++) {
      if (pass > 2) rejected('its entries contradict each other');
      const filter: LayerFilter = new LayerFilter(plan, job.limits ?? LIMITS);
      await runPass(job, filter);
      plan = filter.nextPlan;
      unpackedBytes = filter.unpackedBytes;
    }
    await makeDurable(job);
    return { unpackedBytes };
  } catch (error) {
    await rm(job.temporary, { force: true });
    throw asUserError(error);
  }
}

async function runPass(job: LayerJob, filter: LayerFilter): Promise<void> {
  await rm(job.temporary, { force: true });
  const args = [...SQUASHFS, ...PLAIN, '-quiet', '-no-progress', job.temporary];
  const sqfstar = spawn('sqfstar', args, { stdio: ['pipe', 'ignore', 'pipe'] });
  const ended = exitOf(sqfstar);
  ended.catch(() => {});
  let writeError: Error | undefined;
  sqfstar.stdin.on('error', (error) => {
    writeError = error;
  });
  try {
    for await (const piece of filtered(job, filter)) {
      if (writeError !== undefined) break;
      if (!sqfstar.stdin.write(piece)) await Promise.race([once(sqfstar.stdin, 'drain'), ended]);
    }
  } catch (error) {
    sqfstar.kill('SIGKILL');
    await ended.catch(() => {});
    throw error;
  }
  sqfstar.stdin.end();
  await ended;
}

/** sqfstar's exit as a promise; its own words in the error. */
async function exitOf(sqfstar: ChildProcess): Promise<void> {
  let words = '';
  sqfstar.stderr?.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(-4000);
  });
  const [code, signal] = await once(sqfstar, 'close');
  if (code === 0) return;
  if (/No space left/.test(words)) throw new BulkheadError('disk_full', 'no space left to prepare a layer');
  const line = words.trim().split('\n').at(-1);
  throw new BulkheadError('archive_rejected', `sqfstar refuses the layer (${code ?? signal}): ${line}`);
}

async function* filtered(job: LayerJob, filter: LayerFilter): AsyncGenerator<Buffer> {
  const whole = createHash('sha256');
  let tarBytes = 0;
  for await (const chunk of decompressed(verified(job))) {
    whole.update(chunk);
    tarBytes += chunk.length;
    if (tarBytes > RATIO_FROM_BYTES && tarBytes > RATIO_MAX * job.blobBytes) {
      rejected(`it unpacks to more than ${RATIO_MAX} times its own size`);
    }
    const pieces = filter.write(chunk);
    if (pieces.length > 0) yield pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  }
  expectDigest(whole, job.diffId, 'an unpacked layer');
  yield Buffer.concat(filter.end());
}

/** The blob's bytes; throws at the end, or as soon as there are too many, unless they are what the manifest says. */
async function* verified(job: LayerJob): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(job.blobPath, { highWaterMark: CHUNK_BYTES })) {
    bytes += chunk.length;
    if (bytes > job.blobBytes) break;
    hash.update(chunk);
    yield chunk;
  }
  if (bytes !== job.blobBytes) {
    throw new BulkheadError('digest_mismatch', `the layer ${job.blobDigest} does not have its ${job.blobBytes} bytes`);
  }
  expectDigest(hash, job.blobDigest, 'a layer');
}

function expectDigest(hash: Hash, digest: string, what: string): void {
  const actual = `sha256:${hash.digest('hex')}`;
  if (actual !== digest) throw new BulkheadError('digest_mismatch', `${what} is ${actual}, not ${digest} as promised`);
}

/** By the first bytes, not by the media type, which registries get wrong. */
async function* decompressed(source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const first = await source.next();
  if (first.done) return;
  const magic = first.value.readUIntBE(0, Math.min(4, first.value.length));
  const all = async function* (): AsyncGenerator<Buffer> {
    yield first.value;
    yield* source;
  };
  if (magic >>> 16 === 0x1f8b) yield* through(all(), createGunzip({ chunkSize: CHUNK_BYTES }));
  else if (magic === 0x28b52ffd) yield* through(all(), createZstdDecompress({ chunkSize: CHUNK_BYTES }));
  else yield* all();
}

async function* through(
  source: AsyncGenerator<Buffer>,
  decompressor: ReturnType<typeof createGunzip> | ReturnType<typeof createZstdDecompress>,
): AsyncGenerator<Buffer> {
  const input = Readable.from(source, { objectMode: false, highWaterMark: CHUNK_BYTES });
  input.on('error', (error) => decompressor.destroy(error));
  input.pipe(decompressor);
  try {
    yield* decompressor as AsyncIterable<Buffer>;
  } finally {
    input.destroy();
    decompressor.destroy();
  }
}

async function makeDurable(job: LayerJob): Promise<void> {
  const file = await open(job.temporary, 'r');
  await file.sync().finally(() => file.close());
  await rename(job.temporary, job.target);
  const directory = await open(path.dirname(job.target), 'r');
  await directory.sync().finally(() => directory.close());
}

function asUserError(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (error instanceof BulkheadError) return error;
  if (code === 'ENOSPC' || code === 'EDQUOT') return new BulkheadError('disk_full', 'no space left to prepare a layer');
  if ((error as NodeJS.ErrnoException).syscall === 'spawn sqfstar')
    return new BulkheadError('tool_missing', 'sqfstar is not installed (package squashfs-tools)');
  if (code.startsWith('Z_') || code.startsWith('ZSTD')) {
    return new BulkheadError('archive_rejected', `a layer's compressed data is damaged (${code})`, { cause: error });
  }
  return error;
}

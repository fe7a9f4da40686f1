/** The writable layer of a microVM: a sparse ext4 image of the size it may grow to. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { BulkheadError } from '@bulkhead/contract';

const run = promisify(execFile);
const DEFAULT_BYTES = 10 * 2 ** 30;
const MIN_BYTES = 16 << 20;
const MIN_JOURNALED_MIB = 64;

/** One formatted image per size is kept; an instance gets a sparse copy, which is faster than formatting. */
export async function writableDisk(templates: string, target: string, sizeBytes: number | undefined): Promise<string> {
  if (existsSync(target)) return target;
  const size = sizeBytes || DEFAULT_BYTES;
  if (size < MIN_BYTES)
    throw new BulkheadError(
      'invalid_limit',
      `a writable layer of ${size} bytes is too small: a microVM needs at least ${MIN_BYTES}`,
    );
  const mib = Math.ceil(size / 2 ** 20);
  const template = path.join(templates, `empty-${mib}.ext4`);
  mkdirSync(path.dirname(target), { recursive: true, mode: 0o711 });
  if (!existsSync(template)) await makeTemplate(template, mib);
  const partial = `${target}.partial`;
  await run('cp', ['--sparse=always', '--reflink=auto', template, partial]);
  renameSync(partial, target);
  return target;
}

/** Two may make it at once: each its own, and the last one stays. */
async function makeTemplate(template: string, mib: number): Promise<void> {
  mkdirSync(path.dirname(template), { recursive: true, mode: 0o711 });
  const partial = `${template}.${randomUUID()}`;
  // A machine may end at any moment and starts again from this disk: the journal keeps it whole. Small, for the little it does.
  const journal = mib >= MIN_JOURNALED_MIB ? ['-J', 'size=4'] : ['-O', '^has_journal'];
  try {
    await run('mkfs.ext4', [
      ...['-q', '-F', '-m', '0', '-i', '16384', '-b', '4096', ...journal],
      ...['-E', 'lazy_itable_init=1,lazy_journal_init=1,nodiscard', partial, `${mib}M`],
    ]);
    renameSync(partial, template);
  } finally {
    rmSync(partial, { force: true });
  }
}

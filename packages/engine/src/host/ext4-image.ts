/** Sparse, empty ext4 images of the size they may grow to, for writable layers with a limit. It mounts nothing. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { BulkheadError } from '@bulkhead/contract';

const run = promisify(execFile);
const MIN_BYTES = 16 << 20;
const MIN_JOURNALED_MIB = 64;

/** One formatted image per size is kept in `templates`; a target gets a sparse copy, which is faster than formatting. */
export async function ext4Image(templates: string, target: string, sizeBytes: number): Promise<string> {
  if (existsSync(target)) return target;
  if (sizeBytes < MIN_BYTES)
    throw new BulkheadError('invalid_limit', `a writable layer of ${sizeBytes} bytes is too small`, {
      hint: `Give it at least ${MIN_BYTES >> 20} MiB.`,
    });
  const mib = Math.ceil(sizeBytes / 2 ** 20);
  const template = path.join(templates, `empty-${mib}.ext4`);
  const partial = `${target}.partial`;
  try {
    mkdirSync(path.dirname(target), { recursive: true, mode: 0o711 });
    if (!existsSync(template)) await makeTemplate(template, mib);
    await run('cp', ['--sparse=always', '--reflink=auto', template, partial]);
    renameSync(partial, target);
  } catch (error) {
    rmSync(partial, { force: true });
    if (/no space left|quota exceeded/i.test(String(error)))
      throw new BulkheadError('disk_full', `no space left for the writable layer ${target}`, { cause: error });
    throw error;
  }
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

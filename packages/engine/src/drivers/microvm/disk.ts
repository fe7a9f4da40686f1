/** The writable layer of a microVM: a sparse ext4 image of the size it may grow to. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { BulkheadError } from '@bulkhead/contract';

const run = promisify(execFile);
const DEFAULT_BYTES = 10 * 2 ** 30;
const MIN_BYTES = 16 << 20;

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
  if (!existsSync(template)) {
    mkdirSync(templates, { recursive: true });
    const partial = `${template}.${process.pid}`;
    rmSync(partial, { force: true });
    // Without a journal: what was not written back is lost with the machine, as in any container.
    await run('mkfs.ext4', [
      '-q',
      '-F',
      '-O',
      '^has_journal',
      '-E',
      'lazy_itable_init=1,nodiscard',
      '-m',
      '0',
      '-i',
      '16384',
      partial,
      `${mib}M`,
    ]);
    renameSync(partial, template);
  }
  const partial = `${target}.partial`;
  await run('cp', ['--sparse=always', '--reflink=auto', template, partial]);
  renameSync(partial, target);
  return target;
}

/** Copying in and out as tar streams made by busybox inside the instance: its own view, so nothing of the host is in reach. */
import path from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BulkheadError } from '@bulkhead/contract';
import type { Session } from '../ports/driver.ts';

/** Reading everything and keeping ownership needs more than a task may have; the task's walls stay. */
export const FILE_CAPABILITIES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_MKNOD',
  'CAP_SETFCAP',
];

type Run = (args: string[]) => Promise<Session>;

async function words(stream: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stream) if (text.length < 4096) text += chunk.toString();
  return text.trim();
}

/** The base name of `source` is the root entry of the archive. */
export async function readThroughTar(run: Run, source: string): Promise<Readable> {
  const clean = path.posix.normalize(`/${source}`);
  const parent = path.posix.dirname(clean);
  const base = path.posix.basename(clean) || '.';
  const session = await run(['tar', '-C', parent, '-cf', '-', '--', base]);
  session.stdin.end();
  const trouble = words(session.stderr);
  const out = new PassThrough();
  let bytes = 0;
  session.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  // The first byte decides: an error must reach the caller as an error, not as an empty archive.
  const first = new Promise<void>((resolve, reject) => {
    session.stdout.once('readable', () => {
      // The end of an empty stream is announced in the same way.
      if (session.stdout.readableLength > 0) resolve();
    });
    void session.exit.then(async (code) => {
      if (code === 0) resolve();
      else reject(bytes === 0 ? missing(source, await trouble) : new Error(`tar ended with ${code}: ${await trouble}`));
    });
  });
  session.stdout.pipe(out, { end: false });
  void session.exit.then(async (code) => {
    if (code === 0) out.end();
    else out.destroy(new Error(`tar ended with ${code}: ${await trouble}`));
  });
  out.on('close', () => session.close());
  out.on('error', () => {});
  await first;
  return out;
}

function missing(source: string, said: string): BulkheadError {
  return new BulkheadError(
    'no_such_path',
    /no such file|not found/i.test(said) || said === ''
      ? `there is no ${source} in the instance`
      : `${source} cannot be read: ${said}`,
  );
}

export async function writeThroughTar(run: Run, directory: string, tar: Readable): Promise<void> {
  const clean = path.posix.normalize(`/${directory}`);
  const session = await run(['tar', '-C', clean, '-xpf', '-']);
  session.stdout.resume();
  const trouble = words(session.stderr);
  // busybox stops reading at an error; what it said is then the reason, not the broken pipe.
  await pipeline(tar, session.stdin).catch(() => {});
  const code = await session.exit;
  if (code !== 0) {
    const said = await trouble;
    throw /can't change directory|no such file/i.test(said)
      ? new BulkheadError('no_such_path', `there is no directory ${directory} in the instance`)
      : new BulkheadError('archive_rejected', `the archive could not be unpacked: ${said}`);
  }
}

/** Tar on the caller's side, by the system's tar: writes archives, and unpacks hostile ones without leaving the destination. */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { chmod, copyFile, lstat, mkdir, mkdtemp, readdir, readlink, rename, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { BulkheadError } from '@bulkhead/contract/errors';

const ENV = { PATH: process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
/** Set-user-id and the like do not come out of an instance. */
const PLAIN_MODE = 0o777;

/** A tar of the local `path`, whose root entry is called `name`. A directory's own contents, or a file. */
export function packPath(path: string, name: string, isDirectory: boolean): Readable {
  const escaped = name.replace(/[\\&|\n]/g, (char) => (char === '\n' ? '\\n' : `\\${char}`));
  // r: names, h: hard link targets, S: symbolic links stay as they are.
  const rule = isDirectory ? `flags=rhS;s|^\\.|${escaped}|` : `flags=rS;s|^.*$|${escaped}|`;
  const [from, what] = isDirectory ? [path, '.'] : [dirname(path), `./${basename(path)}`];
  return packWith(['--create', '--format=posix', '--file=-', '-C', from, `--transform=${rule}`, what]);
}

/** A tar of `files` (relative paths, not descended into) below `root`. */
export function packFiles(root: string, files: readonly string[]): Readable {
  const list = files.map((file) => `./${file}\0`).join('');
  const args = ['--create', '--format=posix', '--file=-', '-C', root, '--no-recursion', '--null', '--files-from=-'];
  return packWith(args, list);
}

function packWith(args: string[], input = ''): Readable {
  const child = spawn('tar', args, { env: ENV, stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const ended = outcome(child);
  // A generator that nobody reads must not leave an unhandled rejection.
  ended.catch(() => {});
  return Readable.from(wholeOnly(child.stdout, ended), { objectMode: false });
}

/** An archive that tar could not finish must not look whole: the stream fails instead of ending. */
async function* wholeOnly(stdout: Readable, ended: Promise<void>): AsyncGenerator<Buffer> {
  yield* stdout as AsyncIterable<Buffer>;
  await ended;
}

function outcome(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = '';
    child.stderr?.on('data', (chunk) => {
      said = (said + chunk).slice(-2000);
    });
    child.once('error', (cause) =>
      reject(new BulkheadError('tool_missing', `cannot run tar: ${cause.message}`, { cause })),
    );
    child.once('close', (code) =>
      code === 0 ? resolve() : reject(new BulkheadError('archive_rejected', `tar failed: ${said.trim()}`)),
    );
  });
}

/**
 * Unpacks `tar` into a new private directory beside `target`, then moves it into place: the archive never sees what is
 * there already, and links it holds are moved, never followed. `place` says where the root entry goes.
 */
export async function unpackInto(
  tar: Readable,
  beside: string,
  place: (rootName: string) => string,
): Promise<{ skipped: string[] }> {
  const staging = await mkdtemp(join(beside, '.bulkhead-cp-'));
  try {
    const child = spawn(
      'tar',
      ['--extract', '--file=-', '-C', staging, '--no-same-owner', '--no-same-permissions', '--delay-directory-restore'],
      { env: ENV, stdio: ['pipe', 'ignore', 'pipe'] },
    );
    const ended = outcome(child);
    child.stdin.on('error', () => {});
    const fed = new Promise<never>((_, reject) => tar.once('error', reject));
    tar.pipe(child.stdin);
    tar.once('error', () => child.kill('SIGKILL'));
    await Promise.race([ended, fed]);
    const skipped: string[] = [];
    for (const name of await readdir(staging)) await moveIn(join(staging, name), place(name), skipped);
    return { skipped };
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

async function moveIn(from: string, to: string, skipped: string[]): Promise<void> {
  const source = await lstat(from);
  const there = await lstat(to).catch(() => undefined);
  const refuse = (why: string) => new BulkheadError('archive_rejected', `cannot copy to ${to}: ${why}`);
  if (source.isDirectory()) {
    if (there === undefined) await mkdir(to, { mode: 0o755 });
    else if (!there.isDirectory()) throw refuse('it is there already and no directory');
    for (const name of await readdir(from)) await moveIn(join(from, name), join(to, name), skipped);
    await chmod(to, source.mode & PLAIN_MODE);
    return;
  }
  if (there?.isDirectory()) throw refuse('it is a directory');
  if (source.isSymbolicLink()) {
    if (there) await rm(to);
    await symlink(await readlink(from), to);
  } else if (source.isFile()) {
    await chmod(from, source.mode & PLAIN_MODE);
    await rename(from, to).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EXDEV') throw error;
      if (there) await rm(to);
      await copyFile(from, to, constants.COPYFILE_EXCL);
    });
  } else skipped.push(to);
}

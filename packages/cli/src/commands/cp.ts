/** `cp`: files into or out of an instance, by Docker's rules for names that exist and names that do not. */
import { lstat, stat } from 'node:fs/promises';
import { posix, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { BulkheadError } from '@bulkhead/contract/errors';
import type { Client } from '@bulkhead/sdk';
import { packPath, unpackInto } from '../archive.ts';
import type { Command } from '../command.ts';
import { write } from '../local-files.ts';
import { escapeControl } from '../terminal.ts';

interface Place {
  instance?: string;
  path: string;
}

export const command: Command = {
  usage: 'INSTANCE:SRC DST | SRC INSTANCE:DST',
  summary: 'Copy files into or out of an instance',
  description:
    '`-` is a tar stream on stdin or stdout. SRC ending in /. copies what is in the directory. Devices, sockets and\nset-user-id bits do not come out of an instance; nothing is written outside DST.',
  flags: [{ name: 'quiet', short: 'q', kind: 'switch', meaning: 'Say nothing' }],
  examples: ['bulkhead cp web:/etc/nginx ./nginx', 'bulkhead cp ./site/. web:/srv', 'tar c . | bulkhead cp - web:/srv'],
  subject: 'instance',
  arguments: [2, 2],
  async run({ flags, args, client }) {
    const [from, to] = [parsePlace(args[0]!), parsePlace(args[1]!)];
    if ((from.instance === undefined) === (to.instance === undefined))
      throw new BulkheadError('usage', 'one side must be an instance, the other a local path', {
        hint: 'Write INSTANCE:PATH for the instance side, ./NAME for a local name with a colon.',
      });
    const engine = await client();
    const skipped = from.instance === undefined ? await copyIn(engine, from, to) : await copyOut(engine, from, to);
    if (flags.on('quiet')) return;
    for (const path of skipped)
      process.stderr.write(`bulkhead: left out ${escapeControl(path)}: neither a file, a directory nor a link\n`);
  },
};

/** A local path has no colon, or begins with `/` or `.`. */
export function parsePlace(text: string): Place {
  const at = text.indexOf(':');
  if (at <= 0 || text.startsWith('/') || text.startsWith('.')) return { path: text };
  return { instance: text.slice(0, at), path: text.slice(at + 1) || '/' };
}

async function copyOut(engine: Client, from: Place, to: Place): Promise<string[]> {
  const contents = /(^|\/)\.\/?$/.test(from.path);
  const path = posix.resolve('/', from.path);
  const tar = await engine.readArchive(from.instance!, path);
  if (to.path === '-') {
    for await (const chunk of tar) await write(process.stdout, chunk as Buffer);
    return [];
  }
  const target = resolve(to.path);
  const there = await stat(target).catch(() => undefined);
  if (there?.isDirectory()) {
    const { skipped } = await unpackInto(tar, target, (name) =>
      contents || name === '.' || path === '/' ? target : resolve(target, name),
    );
    return skipped;
  }
  const parent = resolve(target, '..');
  const parentThere = await stat(parent).catch(() => undefined);
  if (!parentThere?.isDirectory() || (there === undefined && to.path.endsWith('/') && !(contents || path === '/'))) {
    tar.destroy();
    throw new BulkheadError('no_such_path', `${parentThere ? to.path : parent} is not a directory`, {
      hint: 'Make the directory first.',
    });
  }
  return (await unpackInto(tar, parent, () => target)).skipped;
}

async function copyIn(engine: Client, from: Place, to: Place): Promise<string[]> {
  const path = posix.resolve('/', to.path);
  if (from.path === '-') {
    await engine.writeArchive(to.instance!, path, process.stdin);
    return [];
  }
  const local = resolve(from.path);
  const wantsContents = /(^|\/)\.\/?$/.test(from.path);
  const source = await (from.path.endsWith('/') ? stat(local) : lstat(local)).catch((cause: Error) => {
    throw new BulkheadError('usage', `cannot read ${from.path}: ${cause.message}`, {
      hint: 'Name a file or directory that exists.',
      cause,
    });
  });
  const isDirectory = source.isDirectory();
  const intoDirectory = path === '/' || (await isDirectoryInside(engine, to.instance!, path));
  if (!intoDirectory && to.path.endsWith('/') && !isDirectory)
    throw new BulkheadError('no_such_path', `${to.path} is not a directory in ${to.instance}`);
  if (wantsContents && intoDirectory) {
    await engine.writeArchive(to.instance!, path, packPath(local, '.', true));
    return [];
  }
  const [directory, name] = intoDirectory ? [path, posix.basename(local)] : [posix.dirname(path), posix.basename(path)];
  await engine.writeArchive(to.instance!, directory, packPath(local, name, isDirectory));
  return [];
}

/** The first header of an archive of `path` tells what it is; the rest is not read. */
async function isDirectoryInside(engine: Client, instance: string, path: string): Promise<boolean> {
  let tar: Readable;
  try {
    tar = await engine.readArchive(instance, path);
  } catch (error) {
    if (error instanceof BulkheadError && error.code === 'no_such_path') return false;
    throw error;
  }
  const type = await firstType(tar);
  // A link to a directory is one to Docker; its own archive with `/.` succeeds only then.
  if (type !== '2') return type === '5';
  return engine.readArchive(instance, `${path}/.`).then(
    (inside) => {
      inside.destroy();
      return true;
    },
    () => false,
  );
}

/** Type flag of the first entry that is not an extended header (POSIX.1-2001 pax, GNU long names). */
async function firstType(tar: Readable): Promise<string> {
  let pending = Buffer.alloc(0);
  try {
    for await (const chunk of tar) {
      pending = Buffer.concat([pending, chunk as Buffer]);
      while (pending.length >= 512) {
        const type = String.fromCharCode(pending[156]!);
        if (!'xgLK'.includes(type)) return type;
        const size = Number.parseInt(pending.toString('latin1', 124, 136), 8) || 0;
        const whole = 512 + Math.ceil(size / 512) * 512;
        if (pending.length < whole) break;
        pending = pending.subarray(whole);
      }
    }
  } finally {
    tar.destroy();
  }
  return '';
}

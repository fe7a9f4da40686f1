/** `build`: sends a directory without what .dockerignore names, and shows the build. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join, relative, resolve, sep } from 'node:path';
import { BulkheadError } from '@bulkhead/contract/errors';
import { packFiles } from '../archive.ts';
import type { Command } from '../command.ts';
import { IgnoreFile } from '../ignore-file.ts';
import { showProgress } from '../progress.ts';
import { escapeControl } from '../terminal.ts';

export const command: Command = {
  usage: '[FLAGS] DIRECTORY',
  summary: 'Build an image from a Dockerfile',
  flags: [
    { name: 'file', short: 'f', kind: 'text', value: 'FILE', meaning: 'The Dockerfile (default DIRECTORY/Dockerfile)' },
    { name: 'tag', short: 't', kind: 'text', value: 'NAME', meaning: 'Name of the image' },
    {
      name: 'build-arg',
      kind: 'list',
      value: 'NAME=VALUE',
      meaning: "Set an ARG; NAME alone takes the caller's value",
    },
    { name: 'target', kind: 'text', value: 'STAGE', meaning: 'Stage to build' },
    { name: 'network', kind: 'text', value: 'NETWORK', meaning: 'Network of RUN steps: default (their own) or none' },
    { name: 'no-cache', kind: 'switch', meaning: 'Build every step again' },
    { name: 'quiet', short: 'q', kind: 'switch', meaning: 'Only print the image id' },
  ],
  examples: ['bulkhead build -t app:1 .', 'bulkhead build -f docker/Dockerfile --build-arg VERSION=2 .'],
  subject: 'file',
  arguments: [1, 1],
  async run({ flags, args, client }) {
    const root = resolve(args[0]!);
    if (!(await stat(root).catch(() => undefined))?.isDirectory())
      throw new BulkheadError('usage', `${args[0]} is not a directory`, { hint: 'Name the directory to build from.' });
    const dockerfile = await dockerfileIn(root, flags.text('file'));
    const files = await contextFiles(root, dockerfile);
    const args_ = flags.list('build-arg').flatMap((text) => {
      if (text.includes('=')) return [text];
      return process.env[text] === undefined ? [] : [`${text}=${process.env[text]}`];
    });
    const [tag, target, network] = [flags.text('tag'), flags.text('target'), flags.text('network')];
    const lines = (await client()).buildImage(packFiles(root, files), {
      dockerfile,
      ...(tag === undefined ? {} : { tag }),
      ...(target === undefined ? {} : { target }),
      ...(network === undefined ? {} : { network }),
      ...(args_.length > 0 ? { arg: args_ } : {}),
      noCache: flags.on('no-cache'),
    });
    const id = await showProgress(lines, process.stderr, flags.on('quiet'));
    if (id !== undefined) process.stdout.write(`${escapeControl(id)}\n`);
  },
};

async function dockerfileIn(root: string, asked: string | undefined): Promise<string> {
  const path = asked === undefined ? join(root, 'Dockerfile') : resolve(asked);
  const inside = relative(root, path);
  if (inside.startsWith('..'))
    throw new BulkheadError('usage', `${asked} is outside of ${root}`, {
      hint: 'Put the Dockerfile into the directory.',
    });
  if (!(await stat(path).catch(() => undefined))?.isFile())
    throw new BulkheadError('usage', `there is no Dockerfile ${path}`, { hint: 'Name it with -f.' });
  return inside.split(sep).join('/');
}

/** Relative paths in order, directories before what is in them. */
export async function contextFiles(root: string, dockerfile: string): Promise<string[]> {
  const text = await readFile(join(root, `${dockerfile}.dockerignore`), 'utf8')
    .catch(() => readFile(join(root, '.dockerignore'), 'utf8'))
    .catch(() => '');
  const ignore = new IgnoreFile(text);
  const found: string[] = [];
  const walk = async (directory: string): Promise<void> => {
    const entries = await readdir(join(root, directory), { withFileTypes: true });
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const entry of entries) {
      const path = directory === '' ? entry.name : `${directory}/${entry.name}`;
      // The build needs it even where the image must not have it, as with Docker.
      const ignored = path !== dockerfile && ignore.ignores(path);
      const leadsToDockerfile = dockerfile.startsWith(`${path}/`);
      if (!ignored && !entry.isSocket()) found.push(path);
      if (entry.isDirectory() && (!ignored || ignore.takesBack || leadsToDockerfile)) await walk(path);
    }
  };
  await walk('');
  return found;
}

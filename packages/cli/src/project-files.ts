/** Finds a project's Compose files and hands the engine every file it asks for. It reads them and judges nothing. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { BulkheadError } from '@bulkhead/contract/errors';
import type { ComposeRequest } from '@bulkhead/contract/types';
import type { Flag } from './flag.ts';
import type { Values } from './flags.ts';
import { escapeControl } from './terminal.ts';

export const PROJECT_FLAGS: readonly Flag[] = [
  {
    name: 'file',
    short: 'f',
    kind: 'list',
    value: 'FILE',
    meaning: 'A Compose file; later ones override earlier ones',
  },
  { name: 'profile', kind: 'list', value: 'NAME', meaning: 'Switch a profile on' },
  { name: 'env-file', kind: 'list', value: 'FILE', meaning: 'Variables, in place of .env' },
  { name: 'project-name', short: 'p', kind: 'text', value: 'NAME', meaning: 'Name of the app' },
  {
    name: 'project-directory',
    kind: 'text',
    value: 'DIR',
    meaning: 'Where relative paths begin (default: the first file)',
  },
];
const NAMES = ['compose.yaml', 'compose.yml', 'docker-compose.yml', 'docker-compose.yaml'];
/** The engine asks for a few files at a time; a project that never has enough is a defect. */
const MAX_ROUNDS = 100;

interface Caller {
  cwd: string;
  env: NodeJS.ProcessEnv;
  /** Files named without -f, before those with. */
  named?: string[];
}

export function projectRequest(flags: Values, { cwd, env, named = [] }: Caller): ComposeRequest {
  const files: ComposeRequest['files'] = {};
  const asked = [...named, ...flags.list('file')];
  const given =
    asked.length > 0
      ? asked
      : (env.COMPOSE_FILE ?? '').split(env.COMPOSE_PATH_SEPARATOR ?? ':').filter((one) => one !== '');
  const paths =
    given.length > 0
      ? given.map((one) => (one === '-' ? standardInput(cwd, files) : resolve(cwd, one)))
      : discovered(cwd);
  const directory = flags.text('project-directory');
  const name = flags.text('project-name');
  const environmentFiles = flags.list('env-file').map((file) => resolve(cwd, file));
  const environment = Object.fromEntries(
    Object.entries(env).filter((pair): pair is [string, string] => pair[1] !== undefined),
  );
  return {
    files,
    paths,
    projectDirectory: directory === undefined ? dirname(paths[0]!) : resolve(cwd, directory),
    workingDirectory: cwd,
    ...(name === undefined ? {} : { projectName: name }),
    environment,
    ...(environmentFiles.length > 0 ? { environmentFiles } : {}),
    profiles: flags.list('profile').flatMap((profile) => profile.split(',')),
  };
}

/** Asks again and again, each time with the files the engine named, until it has all it needs. */
export async function withFiles<A extends { kind: string }>(
  request: ComposeRequest,
  ask: (request: ComposeRequest) => Promise<A | { kind: 'needs'; paths: string[] }>,
): Promise<Exclude<A, { kind: 'needs' }>> {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const answer = await ask(request);
    if (answer.kind !== 'needs') return answer as Exclude<A, { kind: 'needs' }>;
    for (const path of (answer as { paths: string[] }).paths) request.files[path] = contentOf(path);
  }
  throw new BulkheadError('internal', 'the engine asks for more and more files');
}

/** What the engine took but has something to say about. */
export function tellWarnings(warnings: { at: string; message: string }[]): void {
  for (const { at, message } of warnings) process.stderr.write(`warning: ${escapeControl(`${at}: ${message}`)}\n`);
}

function contentOf(path: string): ComposeRequest['files'][string] {
  let bytes: Buffer;
  try {
    // A device or a pipe has no end.
    if (!statSync(path).isFile()) throw new BulkheadError('compose_file_missing', `${path} is not a file`);
    bytes = readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    if (error instanceof BulkheadError) throw error;
    throw new BulkheadError('compose_file_missing', `cannot read ${path}: ${(error as Error).message}`, {
      cause: error,
    });
  }
  return textOrBytes(bytes);
}

function textOrBytes(bytes: Buffer): ComposeRequest['files'][string] {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { base64: bytes.toString('base64') };
  }
}

function standardInput(cwd: string, files: ComposeRequest['files']): string {
  const path = join(cwd, 'stdin');
  files[path] = textOrBytes(readFileSync(0));
  return path;
}

/** Here or in a folder above, with the override file beside it. */
function discovered(cwd: string): string[] {
  for (let directory = cwd; ; directory = dirname(directory)) {
    const name = NAMES.find((one) => existsSync(join(directory, one)));
    if (name !== undefined) {
      const stem = basename(name).replace(/\.ya?ml$/, '');
      const override = ['yaml', 'yml']
        .map((ending) => join(directory, `${stem}.override.${ending}`))
        .find((one) => existsSync(one));
      return [join(directory, name), ...(override === undefined ? [] : [override])];
    }
    if (dirname(directory) === directory) break;
  }
  throw new BulkheadError('compose_file_missing', `there is no Compose file in ${cwd} or above`, {
    hint: `Make ${NAMES[0]}, or name a file with -f.`,
  });
}

/** A project held in memory: the files the resolver asks for are answered from it, as the CLI answers from the disk. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { BulkheadError } from '@bulkhead/contract';
import type { FileContent } from '../../src/compose/loader.ts';
import { type ComposeInput, type ComposeResolved, resolveCompose } from '../../src/compose/resolve.ts';

export const ROOT = '/srv/shop';
export const FIXTURES = path.join(import.meta.dirname, 'fixtures');

export type Options = Partial<Omit<ComposeInput, 'files'>>;

/** `files` by path relative to the project; `compose.yaml` is the one of -f unless `paths` says otherwise. */
export function resolve(files: Record<string, FileContent>, options: Options = {}): ComposeResolved {
  const known = new Map<string, FileContent>();
  for (let round = 0; round < 50; round++) {
    const result = resolveCompose({
      files: known,
      paths: [`${ROOT}/compose.yaml`],
      projectDirectory: ROOT,
      environment: {},
      profiles: [],
      ...options,
    });
    if (result.kind === 'resolved') return result;
    for (const file of result.paths) {
      if (known.has(file)) throw new Error(`${file} was asked for twice`);
      known.set(file, files[path.posix.relative(ROOT, file)] ?? null);
    }
  }
  throw new Error('the resolver never has enough');
}

export function resolveText(text: string, options: Options = {}): ComposeResolved {
  return resolve({ 'compose.yaml': text }, options);
}

/** `file:line:column message`, or the text `no error`. */
export function mistakeOf(
  files: Record<string, FileContent>,
  options: Options = {},
): { at: string; message: string; hint: string; code: string } {
  try {
    resolve(files, options);
  } catch (error) {
    if (!(error instanceof BulkheadError)) throw error;
    return { at: error.at ?? '', message: error.message, hint: error.hint, code: error.code };
  }
  return { at: '', message: 'no error', hint: '', code: '' };
}

/** All files below a fixture's folder, by relative path. */
export function fixture(name: string): Record<string, string> {
  const base = path.join(FIXTURES, name);
  const found: Record<string, string> = {};
  for (const entry of readdirSync(base, { recursive: true }) as string[]) {
    const full = path.join(base, entry);
    if (statSync(full).isFile()) found[entry] = readFileSync(full, 'utf8');
  }
  return found;
}

/** The exit of a task, kept on the host before the guest that knew it is let go: the engine may die in between. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Exit } from '../../ports/driver.ts';

const FILE = 'exit.json';

export function keepExit(bundle: string, exit: Exit): void {
  // Removed at the same time as what it tells about: then nobody asks any more.
  if (!existsSync(bundle)) return;
  const partial = path.join(bundle, `${FILE}.partial`);
  writeFileSync(partial, JSON.stringify(exit));
  renameSync(partial, path.join(bundle, FILE));
}

export function keptExit(bundle: string): Exit | undefined {
  try {
    return JSON.parse(readFileSync(path.join(bundle, FILE), 'utf8')) as Exit;
  } catch {
    return undefined;
  }
}

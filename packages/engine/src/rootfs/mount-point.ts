/** Whether something is mounted at a directory. It changes nothing. */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';

/** Cheap; true for what is on another device than its parent. */
export function isMountPoint(directory: string): boolean {
  const own = statSync(directory, { throwIfNoEntry: false });
  return own !== undefined && own.dev !== statSync(path.dirname(directory)).dev;
}

/** Also for what is of the same file system as what is around it, so that its device number tells nothing. */
export function isListedMount(target: string): boolean {
  const real = path.join(realpathSync(path.dirname(target)), path.basename(target));
  const shown = real.replace(/[ \t\n\\]/g, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`);
  return readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${shown} `);
}

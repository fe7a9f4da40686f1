/** Whether something is mounted at a directory. It changes nothing. */
import { statSync } from 'node:fs';
import path from 'node:path';

/** True for what is on another device than its parent: not for a bind of the same file system. */
export function isMountPoint(directory: string): boolean {
  const own = statSync(directory, { throwIfNoEntry: false });
  return own !== undefined && own.dev !== statSync(path.dirname(directory)).dev;
}

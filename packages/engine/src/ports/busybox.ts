/** The small tools every level shows its tasks at one place, for what the engine itself does inside an instance. */
import type { ProcessSpec } from './driver.ts';

export const BUSYBOX = '/.bulkhead/busybox';

/** One of them as root of the instance, whatever the task is. */
export function busyboxProcess(args: string[], options: { stdin: boolean }): ProcessSpec {
  return {
    args: [BUSYBOX, ...args],
    env: ['PATH=/bin'],
    cwd: '/',
    user: '0:0',
    groupAdd: [],
    tty: false,
    stdin: options.stdin,
  };
}

/** The task's process: what was asked, merged with what the image says, as Docker does it. */
import { BulkheadError } from '@bulkhead/contract';
import type { HealthCheck, TaskSpec } from '../domain/task.ts';
import type { ProcessSpec } from '../ports/driver.ts';
import type { ImageConfig } from '../ports/images.ts';

const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Later entries win; order of first appearance is kept. */
export function mergeEnv(...lists: string[][]): string[] {
  const merged = new Map<string, string>();
  for (const entry of lists.flat()) {
    const equals = entry.indexOf('=');
    // `NAME` alone removes what the image set: the client has already filled in its own value where it had one.
    if (equals === -1) merged.delete(entry);
    else merged.set(entry.slice(0, equals), entry);
  }
  return [...merged.values()];
}

export function mergeProcess(task: TaskSpec, image: ImageConfig, hostname: string): ProcessSpec {
  // An entrypoint of the task's own also discards the image's CMD.
  const entrypoint = task.entrypoint ?? image.entrypoint;
  const command = task.command ?? (task.entrypoint ? [] : image.cmd);
  const args = [...entrypoint.filter((word, index) => word !== '' || index > 0), ...command];
  if (args.length === 0) {
    throw new BulkheadError('invalid_request', `the image ${task.image} names no command and none was given`, {
      hint: 'Give a command after the image name.',
    });
  }
  const builtIn = [DEFAULT_PATH, `HOSTNAME=${hostname}`, ...(task.tty ? ['TERM=xterm'] : [])];
  return {
    args,
    env: mergeEnv(builtIn, image.env, task.env),
    cwd: task.workdir ?? (image.workdir || '/'),
    user: task.user ?? image.user,
    groupAdd: task.groupAdd,
    tty: task.tty,
    stdin: task.openStdin,
  };
}

const NANOSECONDS_PER_MS = 1_000_000;
export const DEFAULT_HEALTH = { intervalMs: 30_000, timeoutMs: 30_000, startPeriodMs: 0, retries: 3 };

/** The task's own check, else the image's; undefined for none and for `NONE`. */
export function mergeHealthCheck(task: TaskSpec, image: ImageConfig): HealthCheck | undefined {
  const own = task.healthCheck;
  const fromImage = image.healthcheck;
  const ms = (nanoseconds: number | undefined, fallback: number) =>
    nanoseconds ? Math.max(1, Math.round(nanoseconds / NANOSECONDS_PER_MS)) : fallback;
  const imageCheck: HealthCheck | undefined = fromImage?.Test?.length
    ? {
        test: fromImage.Test,
        intervalMs: ms(fromImage.Interval, DEFAULT_HEALTH.intervalMs),
        timeoutMs: ms(fromImage.Timeout, DEFAULT_HEALTH.timeoutMs),
        startPeriodMs: ms(fromImage.StartPeriod, DEFAULT_HEALTH.startPeriodMs),
        retries: fromImage.Retries || DEFAULT_HEALTH.retries,
      }
    : undefined;
  const chosen = own ? { ...own, test: own.test.length > 0 ? own.test : (imageCheck?.test ?? []) } : imageCheck;
  if (!chosen || chosen.test.length === 0 || chosen.test[0] === 'NONE') return undefined;
  return chosen;
}

/** The command a health check runs inside the instance. */
export function healthArgs(check: HealthCheck): string[] {
  const [kind, ...rest] = check.test;
  if (kind === 'CMD-SHELL') return ['/bin/sh', '-c', rest.join(' ')];
  return kind === 'CMD' ? rest : check.test;
}

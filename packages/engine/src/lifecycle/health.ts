/** Asks a running instance whether it is well, as often as its check says. */
import type { Health, InstanceRecord } from '../domain/instance.ts';
import type { HealthCheck } from '../domain/task.ts';
import type { Clock } from '../ports/clock.ts';
import type { Driver, ProcessSpec } from '../ports/driver.ts';
import { healthArgs } from './process.ts';

export interface HealthSubject {
  check: HealthCheck;
  driver: Driver;
  handle: string;
  process: ProcessSpec;
  /** False once the instance is gone: the watch ends. */
  report(health: Health): boolean;
}

/** Runs until `over`. A failure counts only after the start period; a success ends that period. */
export async function watchHealth(
  record: InstanceRecord,
  subject: HealthSubject,
  clock: Clock,
  over: AbortSignal,
): Promise<void> {
  const { check } = subject;
  const startedAt = record.startedAt ?? clock.now();
  let failures = 0;
  let health: Health = record.health === 'none' ? 'starting' : record.health;
  const tell = (next: Health): boolean => {
    if (next === health && next !== 'starting') return true;
    health = next;
    return subject.report(next);
  };
  if (record.health === 'none' && !tell('starting')) return;
  while (!over.aborted) {
    await clock.sleep(check.intervalMs, over).catch(() => undefined);
    if (over.aborted) return;
    const passed = await probe(record, subject, clock, over);
    if (over.aborted) return;
    if (passed) failures = 0;
    else if (health !== 'starting' || clock.now() - startedAt >= check.startPeriodMs) failures++;
    const next: Health = passed ? 'healthy' : failures >= check.retries ? 'unhealthy' : health;
    if (next !== health && !tell(next)) return;
  }
}

async function probe(
  record: InstanceRecord,
  subject: HealthSubject,
  clock: Clock,
  over: AbortSignal,
): Promise<boolean> {
  const timer = new AbortController();
  const stop = () => timer.abort();
  over.addEventListener('abort', stop, { once: true });
  try {
    const session = await subject.driver.exec(record.id, subject.handle, {
      ...subject.process,
      args: healthArgs(subject.check),
      tty: false,
      stdin: false,
    });
    session.stdin.on('error', () => undefined);
    session.stdout.on('error', () => undefined).resume();
    session.stderr.on('error', () => undefined).resume();
    const late = clock.sleep(subject.check.timeoutMs, timer.signal).then(
      () => 'late' as const,
      () => 'late' as const,
    );
    const code = await Promise.race([session.exit.catch(() => -1), late]);
    session.close();
    return code === 0;
  } catch {
    return false;
  } finally {
    timer.abort();
    over.removeEventListener('abort', stop);
  }
}

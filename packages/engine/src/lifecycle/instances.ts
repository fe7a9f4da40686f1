/** The commands on instances: one at a time per instance, different instances side by side. */

import type { Readable } from 'node:stream';
import { BulkheadError, type CreateInstance, type UpdateInstance } from '@bulkhead/contract';
import type { InstanceRecord, StopOptions } from '../domain/instance.ts';
import type { Limits, RestartPolicy } from '../domain/task.ts';
import type { Attachment, Exit, ProcessSpec, StartPlan } from '../ports/driver.ts';
import type { LogQuery, LogRecord } from '../ports/supervisor.ts';
import type { Creator } from './creator.ts';
import type { LifecycleDeps } from './deps.ts';
import type { Endings } from './endings.ts';
import { watchHealth } from './health.ts';
import type { Launcher } from './launcher.ts';
import type { Ledger } from './ledger.ts';
import type { LiveTable, Run } from './live.ts';
import { checkName } from './names.ts';
import { dnsNames, processOf, startPlan } from './plan.ts';
import { mergeHealthCheck } from './process.ts';
import type { Removal } from './removal.ts';
import { signalNumber } from './signals.ts';
import type { Stopping } from './stopping.ts';
import { checkLimits } from './task-checks.ts';
import { withoutZeros } from './task-request.ts';

export interface InstanceParts {
  ledger: Ledger;
  table: LiveTable;
  creator: Creator;
  launcher: Launcher;
  endings: Endings;
  stopping: Stopping;
  removal: Removal;
}

export class Instances {
  readonly #deps: LifecycleDeps;
  readonly #parts: InstanceParts;

  constructor(deps: LifecycleDeps, parts: InstanceParts) {
    this.#deps = deps;
    this.#parts = parts;
  }

  find(reference: string): InstanceRecord {
    return this.#parts.ledger.find(reference);
  }

  list(): InstanceRecord[] {
    return this.#parts.ledger.list();
  }

  async create(request: CreateInstance): Promise<InstanceRecord> {
    const record = await this.#parts.creator.create(request);
    if (!request.start) return record;
    const { mutex } = this.#parts.table.of(record.id);
    try {
      return await mutex.run(() => this.#launch(record));
    } catch (error) {
      // Like Docker's --rm: an instance that never ran leaves nothing.
      if (record.spec.autoRemove) await this.remove(record.id, { force: true, volumes: true });
      throw error;
    }
  }

  /** Starting what runs is no error. */
  async start(reference: string): Promise<InstanceRecord> {
    const { id } = this.find(reference);
    const live = this.#parts.table.of(id);
    return live.mutex.run(async () => {
      const record = this.find(id);
      if (record.state === 'running') return record;
      live.restart?.abort();
      live.failures = 0;
      return this.#launch({ ...record, restartCount: 0 });
    });
  }

  /** By the restart policy; quietly nothing where the user was faster. */
  async relaunch(id: string): Promise<void> {
    const live = this.#parts.table.of(id);
    await live.mutex.run(async () => {
      const record = this.find(id);
      if ((record.state !== 'stopped' && record.state !== 'failed') || live.restart?.signal.aborted) return;
      live.restart = undefined;
      try {
        await this.#launch({ ...record, restartCount: record.restartCount + 1 });
      } catch (error) {
        this.#deps.report(`restart of ${record.name}`, error);
        this.#parts.endings.restartLater(record);
      }
    });
  }

  async stop(reference: string, options: StopOptions = {}): Promise<InstanceRecord> {
    return this.#parts.stopping.stop(this.find(reference).id, options);
  }

  async restart(reference: string, options: StopOptions = {}): Promise<InstanceRecord> {
    const { id } = await this.stop(reference, options);
    return this.start(id);
  }

  async kill(reference: string, signal = 'KILL'): Promise<void> {
    const number = signalNumber(signal);
    const record = this.#running(reference);
    const handle = record.handle ?? '';
    this.#parts.ledger.tell(record, 'kill', { signal: String(number) });
    await this.#parts.launcher.driverOf(record).signal(record.id, handle, number);
  }

  async remove(reference: string, options: { force: boolean; volumes: boolean }): Promise<void> {
    const { id, name } = this.find(reference);
    const live = this.#parts.table.of(id);
    live.restart?.abort();
    for (;;) {
      const run = live.run;
      if (run && !options.force) {
        throw new BulkheadError('wrong_state', `instance ${name} is running`, {
          hint: 'Stop it first, or use --force.',
        });
      }
      if (run) await this.#parts.stopping.stop(id, { timeoutMs: 0 });
      const done = await live.mutex.run(async () => {
        // It may have been started or removed while we waited.
        const record = this.#deps.state.getInstance(id);
        if (!record || record.state === 'removed') return true;
        if (record.state === 'running' || record.state === 'stopping') return false;
        await this.#parts.removal.remove(record, options.volumes || record.spec.autoRemove);
        return true;
      });
      if (done) return;
    }
  }

  async prune(): Promise<{ removed: string[]; freedBytes: number }> {
    let freedBytes = 0;
    const idle = this.list().filter((record) => ['pending', 'stopped', 'failed'].includes(record.state));
    for (const record of idle) {
      const bytes = await this.#deps.storage.instanceBytes(record.id);
      await this.remove(record.id, { force: false, volumes: false });
      freedBytes += bytes;
    }
    return { removed: idle.map((record) => record.id), freedBytes };
  }

  /** Answers at once for what has ended already. `removed`: when it is gone. */
  async wait(reference: string, condition: 'not-running' | 'removed' = 'not-running'): Promise<Exit> {
    const record = this.find(reference);
    const live = this.#parts.table.of(record.id);
    const { run } = live;
    const exit = run
      ? await run.exit
      : { code: record.exitCode ?? 0, oomKilled: record.oomKilled, at: record.finishedAt ?? 0 };
    if (condition === 'removed') await live.removed;
    else await run?.stored;
    return exit;
  }

  async rename(reference: string, name: string): Promise<InstanceRecord> {
    checkName(name, 'the name of an instance');
    const { id } = this.find(reference);
    return this.#parts.table.of(id).mutex.run(async () => {
      const before = this.find(id);
      const taken = this.#deps.state.findInstance(name);
      if (taken?.name === name) {
        throw new BulkheadError('name_in_use', `the name ${name} is taken by instance ${taken.id.slice(0, 12)}`);
      }
      const after = this.#parts.ledger.change(
        before,
        { name },
        { action: 'rename', attributes: { from: before.name } },
      );
      if (after.lease) await this.#deps.network.rename(id, after.lease, dnsNames(after));
      return after;
    });
  }

  async update(reference: string, change: UpdateInstance): Promise<InstanceRecord> {
    const { id } = this.find(reference);
    return this.#parts.table.of(id).mutex.run(async () => {
      const record = this.find(id);
      const limits: Limits = withoutZeros({ ...record.spec.limits, ...change.limits });
      checkLimits(limits, this.#deps.cpus);
      const asked = change.restart;
      const restart: RestartPolicy = asked
        ? { name: asked.name, maxRetries: asked.maxRetries ?? 0 }
        : record.spec.restart;
      if (restart.name !== 'no' && record.spec.autoRemove) {
        throw new BulkheadError('invalid_request', 'a restart policy and automatic removal contradict each other');
      }
      if (change.limits && record.state === 'running') {
        await this.#parts.launcher.driverOf(record).update(id, record.handle ?? '', limits);
      }
      return this.#parts.ledger.change(record, { spec: { ...record.spec, limits, restart } }, { action: 'update' });
    });
  }

  logs(reference: string, query: LogQuery): AsyncIterable<LogRecord[]> {
    const record = this.find(reference);
    const { run } = this.#parts.table.of(record.id);
    const ended = run?.exit ?? Promise.resolve();
    return this.#deps.logs.read(this.#deps.storage.logPath(record.id), { ...query, ended: query.ended ?? ended });
  }

  attachStdin(record: InstanceRecord, run: Run): Promise<Attachment> {
    return this.#parts.launcher.driverOf(record).attach(record.id, run.handle);
  }

  /** What `inspect` shows beside the record. */
  async describe(record: InstanceRecord): Promise<{ process: ProcessSpec; driver: Record<string, string> }> {
    const process = processOf(record, this.#parts.launcher.imageOf(record));
    const driver = this.#parts.launcher.driverOf(record);
    const facts = await driver.inspect(record.id, record.handle).catch(() => ({}));
    return { process, driver: facts };
  }

  async readArchive(reference: string, path: string): Promise<Readable> {
    const record = this.find(reference);
    return this.#parts.launcher.driverOf(record).readArchive(this.#planOf(record), record.handle, path);
  }

  async writeArchive(reference: string, path: string, tar: Readable): Promise<void> {
    const record = this.find(reference);
    await this.#parts.launcher.driverOf(record).writeArchive(this.#planOf(record), record.handle, path, tar);
  }

  /** Called for each run that begins or is taken over. */
  watchHealth(record: InstanceRecord, run: Run): void {
    const image = this.#deps.images.find(record.imageId);
    const check = image && mergeHealthCheck(record.spec, image.config);
    if (!image || !check) return;
    const report = (health: InstanceRecord['health']): boolean => {
      const current = this.#deps.state.getInstance(record.id);
      if (current?.state !== 'running' || run.over.signal.aborted) return false;
      this.#parts.ledger.change(current, { health }, { action: `health_status: ${health}` });
      return true;
    };
    const subject = {
      check,
      driver: this.#parts.launcher.driverOf(record),
      handle: run.handle,
      process: processOf(record, image),
      report,
    };
    void watchHealth(record, subject, this.#deps.clock, run.over.signal).catch((error) =>
      this.#deps.report(`health of ${record.name}`, error),
    );
  }

  async rotateLogs(): Promise<void> {
    const { logs, storage, state, report } = this.#deps;
    for (const [id] of this.#parts.table.running()) {
      const log = state.getInstance(id)?.spec.log;
      if (!log) continue;
      await logs
        .rotate(id, storage.logPath(id), log.maxSizeBytes, log.maxFiles)
        .catch((error) => report(`log rotation of ${id}`, error));
    }
  }

  #running(reference: string): InstanceRecord {
    const record = this.find(reference);
    if (record.state !== 'running' && record.state !== 'stopping') {
      throw new BulkheadError('wrong_state', `instance ${record.name} is not running`);
    }
    return record;
  }

  #planOf(record: InstanceRecord): StartPlan {
    return startPlan(record, this.#parts.launcher.imageOf(record), this.#deps.storage, record.lease);
  }

  async #launch(before: InstanceRecord): Promise<InstanceRecord> {
    const record = await this.#parts.launcher.launch(before);
    const driver = this.#parts.launcher.driverOf(record);
    this.#parts.endings.watch(record, driver, driver.wait(record.id, record.handle ?? ''));
    return record;
  }
}

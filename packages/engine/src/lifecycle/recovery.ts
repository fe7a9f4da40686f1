/** After an engine start: takes over what runs, finishes or undoes what was half done, removes what nobody knows. */
import type { InstanceRecord } from '../domain/instance.ts';
import type { RecoveredState } from '../ports/driver.ts';
import type { LifecycleDeps } from './deps.ts';
import type { Endings } from './endings.ts';
import type { Events } from './events.ts';
import type { Launcher } from './launcher.ts';
import type { Ledger } from './ledger.ts';
import { dnsNames } from './plan.ts';
import type { Removal } from './removal.ts';
import { wantsStartWithEngine } from './restarts.ts';
import type { Stopping } from './stopping.ts';
import { DEFAULT_NETWORK } from './task-request.ts';

export interface RecoveryParts {
  ledger: Ledger;
  events: Events;
  launcher: Launcher;
  endings: Endings;
  removal: Removal;
  stopping: Stopping;
}

export class Recovery {
  readonly #deps: LifecycleDeps;
  readonly #parts: RecoveryParts;

  constructor(deps: LifecycleDeps, parts: RecoveryParts) {
    this.#deps = deps;
    this.#parts = parts;
  }

  /** The API may listen when this has ended; restarts go on behind it. */
  async run(): Promise<void> {
    const { state, images } = this.#deps;
    await this.#guard('images', images.recover());
    const records = state.listInstances();
    const active = records.filter((each) => each.state === 'running' || each.state === 'stopping');
    const found = new Map(await Promise.all(active.map(async (each) => [each.id, await this.#look(each)] as const)));
    const holders = active.filter((each) => found.get(each.id) === 'running');
    await this.#guard('network', this.#reconcile(holders));
    await this.#guard('leftovers', this.#removeUnknown(new Set(records.map((each) => each.id))));
    await Promise.all(
      records.map((each) => this.#guard(`instance ${each.id}`, this.#recover(each, found.get(each.id)))),
    );
    await this.#guard('default network', this.#ensureDefaultNetwork());
    for (const record of this.#parts.ledger.list()) {
      if (wantsStartWithEngine(record)) this.#parts.endings.restartLater(record);
    }
  }

  async #look(record: InstanceRecord): Promise<RecoveredState> {
    try {
      return await this.#parts.launcher.driverOf(record).recover(record.id, record.handle);
    } catch (error) {
      this.#deps.report(`recovery of ${record.id}`, error);
      return 'lost';
    }
  }

  async #recover(record: InstanceRecord, found: RecoveredState | undefined): Promise<void> {
    const { ledger, removal } = this.#parts;
    switch (record.state) {
      case 'removed':
        return removal.finish(record);
      case 'running':
      case 'stopping':
        return this.#takeOver(record, found ?? 'lost');
      case 'preparing':
      case 'starting': {
        await this.#release(record);
        const failed = ledger.step(record, 'failed', {
          error: 'the engine ended while it was being started',
          exitCode: 125,
          finishedAt: this.#deps.clock.now(),
          lease: undefined,
          ports: undefined,
        });
        if (failed.spec.autoRemove) await removal.remove(failed, true);
        return;
      }
      case 'stopped':
      case 'failed':
        await this.#release(record);
        if (record.lease) ledger.change(record, { lease: undefined, ports: undefined });
        if (record.spec.autoRemove) await removal.remove(ledger.get(record.id), true);
        return;
      case 'pending':
        return;
    }
  }

  async #release(record: InstanceRecord): Promise<void> {
    await this.#parts.launcher.driverOf(record).release(record.id);
    if (record.lease) await this.#deps.network.free(record.id, record.lease);
  }

  async #takeOver(record: InstanceRecord, found: RecoveredState): Promise<void> {
    const { endings, launcher, stopping } = this.#parts;
    const driver = launcher.driverOf(record);
    const { clock, report } = this.#deps;
    const exit =
      found === 'lost'
        ? Promise.resolve({ code: 137, oomKilled: false, at: clock.now() })
        : driver.wait(record.id, record.handle ?? '');
    const run = endings.watch(record, driver, exit);
    // What ended meanwhile is stored as ended before anyone can ask.
    if (found !== 'running') await run.settled;
    else if (record.state === 'stopping') {
      void stopping.finish(record.id, run).catch((error) => report(`stop of ${record.id}`, error));
    }
  }

  async #reconcile(holders: InstanceRecord[]): Promise<void> {
    const leases = holders.flatMap((record) =>
      record.lease ? [{ id: record.id, lease: record.lease, ports: record.ports ?? [], names: dnsNames(record) }] : [],
    );
    await this.#deps.network.reconcile(this.#deps.state.listNetworks(), leases);
  }

  async #ensureDefaultNetwork(): Promise<void> {
    const { state, network } = this.#deps;
    if (state.listNetworks().some((each) => each.name === DEFAULT_NETWORK)) return;
    const record = await network.create({ name: DEFAULT_NETWORK, internal: false, labels: {} });
    state.putNetwork(record);
  }

  async #removeUnknown(known: Set<string>): Promise<void> {
    const { drivers, storage, rootfs } = this.#deps;
    for (const driver of drivers.values()) {
      const ids = await driver.leftovers();
      await Promise.all(ids.filter((id) => !known.has(id)).map((id) => driver.destroy(id)));
    }
    for (const id of await rootfs.leftovers()) {
      if (known.has(id)) continue;
      await rootfs.unmount(id);
      await rootfs.discard(id);
    }
    for (const id of await storage.instanceLeftovers()) if (!known.has(id)) await storage.removeInstance(id);
  }

  /** One broken thing keeps nothing else from being recovered. */
  async #guard(what: string, work: Promise<void>): Promise<void> {
    await work.catch((error: unknown) => this.#deps.report(`recovery: ${what}`, error));
  }
}

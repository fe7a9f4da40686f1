/** Takes an instance away for good: intent first, the record last, so a crash between is finished at the next start. */
import type { InstanceRecord } from '../domain/instance.ts';
import type { LifecycleDeps } from './deps.ts';
import type { Events } from './events.ts';
import type { Ledger } from './ledger.ts';
import type { LiveTable } from './live.ts';

export class Removal {
  readonly #deps: LifecycleDeps;
  readonly #ledger: Ledger;
  readonly #events: Events;
  readonly #table: LiveTable;

  constructor(deps: LifecycleDeps, parts: { ledger: Ledger; events: Events; table: LiveTable }) {
    this.#deps = deps;
    this.#ledger = parts.ledger;
    this.#events = parts.events;
    this.#table = parts.table;
  }

  /** Call under the instance's mutex; it must not be running. */
  async remove(before: InstanceRecord, volumes: boolean): Promise<void> {
    const record = this.#ledger.step(before, 'removed', { removeVolumes: volumes });
    this.#deps.fault('remove.begun');
    await this.finish(record);
  }

  /** Idempotent: recovery calls it for whatever is `removed`. */
  async finish(record: InstanceRecord): Promise<void> {
    const { fault, drivers, network, storage, state } = this.#deps;
    await drivers.get(record.decision.level)?.destroy(record.id);
    fault('remove.driver');
    if (record.lease) await network.free(record.id, record.lease);
    fault('remove.network');
    await storage.removeInstance(record.id);
    fault('remove.files');
    const volumes = record.removeVolumes ? this.#ownVolumes(record) : [];
    for (const name of volumes) await storage.removeVolume(name);
    fault('remove.volumes');
    state.transaction(() => {
      for (const name of volumes) {
        state.deleteVolume(name);
        this.#events.record('volume', 'destroy', name, {});
      }
      state.deleteInstance(record.id);
      this.#ledger.tell(record, 'destroy');
    });
    this.#table.drop(record.id);
    fault('remove.done');
  }

  /** Anonymous volumes that nobody else mounts. */
  #ownVolumes(record: InstanceRecord): string[] {
    const mounted = record.spec.mounts.filter((mount) => mount.type === 'volume').map((mount) => mount.source);
    if (mounted.length === 0) return [];
    const others = this.#deps.state.listInstances().filter((other) => other.id !== record.id);
    const elsewhere = new Set(others.flatMap((other) => other.spec.mounts.map((mount) => mount.source)));
    return this.#deps.state
      .listVolumes()
      .filter((volume) => volume.anonymous && mounted.includes(volume.name) && !elsewhere.has(volume.name))
      .map((volume) => volume.name);
  }
}

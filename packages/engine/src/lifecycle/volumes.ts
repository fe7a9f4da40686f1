/** Commands on volumes: none goes that an instance still mounts. */
import { BulkheadError, type CreateVolume } from '@bulkhead/contract';
import type { VolumeRecord } from '../ports/state.ts';
import type { LifecycleDeps } from './deps.ts';
import type { Events } from './events.ts';
import { checkName } from './names.ts';

export class Volumes {
  readonly #deps: LifecycleDeps;
  readonly #events: Events;

  constructor(deps: LifecycleDeps, events: Events) {
    this.#deps = deps;
    this.#events = events;
  }

  list(): VolumeRecord[] {
    return this.#deps.state.listVolumes();
  }

  find(name: string): VolumeRecord {
    const volume = this.list().find((each) => each.name === name);
    if (!volume) throw new BulkheadError('no_such_volume', `there is no volume ${JSON.stringify(name)}`);
    return volume;
  }

  /** Creating what exists is no error, as in Docker. Its directory is made on first use, when its content is known. */
  create(request: CreateVolume): VolumeRecord {
    const { clock, state, storage } = this.#deps;
    const anonymous = request.name === undefined || request.name === '';
    const name = anonymous ? clock.newId() : checkName(request.name!, 'the name of a volume');
    const existing = this.list().find((each) => each.name === name);
    if (existing) return existing;
    const record = {
      name,
      path: storage.volumePath(name),
      labels: request.labels ?? {},
      createdAt: clock.now(),
      anonymous,
    };
    state.transaction(() => {
      state.putVolume(record);
      this.#events.record('volume', 'create', name, {});
    });
    return record;
  }

  async remove(name: string, force: boolean): Promise<void> {
    if (force && !this.list().some((each) => each.name === name)) return;
    this.find(name);
    const user = this.#users().get(name);
    if (user) throw new BulkheadError('in_use', `volume ${name} is used by instance ${user}`);
    await this.#remove(name);
  }

  async prune(all: boolean): Promise<{ removed: string[]; freedBytes: number }> {
    const users = this.#users();
    const idle = this.list().filter((each) => !users.has(each.name) && (all || each.anonymous));
    let freedBytes = 0;
    for (const { name } of idle) {
      freedBytes += await this.#deps.storage.volumeBytes(name);
      await this.#remove(name);
    }
    return { removed: idle.map((each) => each.name), freedBytes };
  }

  async #remove(name: string): Promise<void> {
    const { state, storage } = this.#deps;
    await storage.removeVolume(name);
    state.transaction(() => {
      state.deleteVolume(name);
      this.#events.record('volume', 'destroy', name, {});
    });
  }

  #users(): Map<string, string> {
    const users = new Map<string, string>();
    for (const record of this.#deps.state.listInstances()) {
      for (const mount of record.spec.mounts) if (mount.type === 'volume') users.set(mount.source, record.name);
    }
    return users;
  }
}

/** Commands on networks: names are checked, and none goes that an instance still uses. */
import { BulkheadError, type CreateNetwork } from '@bulkhead/contract';
import type { NetworkRecord } from '../ports/network.ts';
import type { LifecycleDeps } from './deps.ts';
import type { Events } from './events.ts';
import { Mutex } from './mutex.ts';
import { checkName } from './names.ts';
import { DEFAULT_NETWORK } from './task-request.ts';

const RESERVED = new Set(['none', 'host', 'default']);

export class Networks {
  readonly #deps: LifecycleDeps;
  readonly #events: Events;
  readonly #mutex = new Mutex();

  constructor(deps: LifecycleDeps, events: Events) {
    this.#deps = deps;
    this.#events = events;
  }

  list(): NetworkRecord[] {
    return this.#deps.state.listNetworks();
  }

  find(reference: string): NetworkRecord {
    const network = this.list().find((each) => each.name === reference || each.id === reference);
    if (!network) throw new BulkheadError('no_such_network', `there is no network ${JSON.stringify(reference)}`);
    return network;
  }

  create(request: CreateNetwork): Promise<NetworkRecord> {
    const { name, subnet, internal = false, labels = {} } = request;
    checkName(name, 'the name of a network');
    if (RESERVED.has(name)) throw new BulkheadError('invalid_name', `${name} is a name of Bulkhead's own`);
    return this.#mutex.run(async () => {
      const { state, network } = this.#deps;
      if (this.list().some((each) => each.name === name)) {
        throw new BulkheadError('name_in_use', `there is a network ${name} already`);
      }
      const record = await network.create({ name, internal, labels, ...(subnet ? { subnet } : {}) });
      state.transaction(() => {
        state.putNetwork(record);
        this.#events.record('network', 'create', record.id, { name });
      });
      return record;
    });
  }

  remove(reference: string): Promise<void> {
    return this.#mutex.run(async () => {
      const record = this.find(reference);
      if (record.name === DEFAULT_NETWORK) {
        throw new BulkheadError('in_use', `${record.name} is the network of instances that name none: it stays`);
      }
      const user = this.#userOf(record);
      if (user) throw new BulkheadError('in_use', `network ${record.name} is used by instance ${user}`);
      await this.#remove(record);
    });
  }

  prune(): Promise<string[]> {
    return this.#mutex.run(async () => {
      const idle = this.list().filter((each) => each.name !== DEFAULT_NETWORK && !this.#userOf(each));
      for (const record of idle) await this.#remove(record);
      return idle.map((record) => record.name);
    });
  }

  async #remove(record: NetworkRecord): Promise<void> {
    const { state, network } = this.#deps;
    await network.remove(record);
    state.transaction(() => {
      state.deleteNetwork(record.id);
      this.#events.record('network', 'destroy', record.id, { name: record.name });
    });
  }

  #userOf(network: NetworkRecord): string | undefined {
    const uses = (name: string) => name === network.name || name === network.id;
    return this.#deps.state.listInstances().find((record) => uses(record.spec.network))?.name;
  }
}

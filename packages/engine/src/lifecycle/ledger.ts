/** Changes to instance records: only legal steps, each with its event in one commit. */
import { BulkheadError } from '@bulkhead/contract';
import { canStep, type InstanceRecord, type InstanceState } from '../domain/instance.ts';
import type { StateStore } from '../ports/state.ts';
import type { Events } from './events.ts';

export class Ledger {
  readonly #state: StateStore;
  readonly #events: Events;

  constructor(deps: { state: StateStore; events: Events }) {
    this.#state = deps.state;
    this.#events = deps.events;
  }

  /** By name, id or unique prefix; throws `no_such_instance`. */
  find(reference: string): InstanceRecord {
    const record = this.#state.findInstance(reference);
    if (!record || record.state === 'removed') {
      throw new BulkheadError('no_such_instance', `there is no instance ${JSON.stringify(reference)}`);
    }
    return record;
  }

  /** As find, for an id that was found before and may be gone by now. */
  get(id: string): InstanceRecord {
    return this.find(id);
  }

  list(): InstanceRecord[] {
    return this.#state.listInstances().filter((record) => record.state !== 'removed');
  }

  /** Throws `wrong_state` for an illegal step. Keys of `change` that are undefined are taken out of the record. */
  step(
    record: InstanceRecord,
    to: InstanceState,
    change: Partial<InstanceRecord> = {},
    event?: { action: string; attributes?: Record<string, string> },
  ): InstanceRecord {
    if (!canStep(record.state, to)) {
      throw new BulkheadError('wrong_state', `instance ${record.name} is ${record.state}: it cannot become ${to}`);
    }
    return this.change(record, { ...change, state: to }, event);
  }

  change(
    record: InstanceRecord,
    change: Partial<InstanceRecord>,
    event?: { action: string; attributes?: Record<string, string> },
  ): InstanceRecord {
    const next = { ...record, ...change };
    this.#state.transaction(() => {
      this.#state.putInstance(next);
      if (event) this.tell(next, event.action, event.attributes);
    });
    return next;
  }

  tell(record: InstanceRecord, action: string, attributes: Record<string, string> = {}): void {
    this.#events.record('instance', action, record.id, {
      name: record.name,
      image: record.spec.image,
      level: record.decision.level,
      ...attributes,
    });
  }
}

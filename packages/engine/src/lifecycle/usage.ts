/** What running instances use, with CPU as a share of the time between two looks. */
import type { Stats as StatsAnswer } from '@bulkhead/contract';
import type { InstanceRecord } from '../domain/instance.ts';
import type { Stats } from '../ports/driver.ts';
import type { LifecycleDeps } from './deps.ts';
import type { Launcher } from './launcher.ts';
import type { Ledger } from './ledger.ts';

const FIRST_LOOK_MS = 200;
const INTERVAL_MS = 1000;

export class Usage {
  readonly #deps: LifecycleDeps;
  readonly #ledger: Ledger;
  readonly #launcher: Launcher;

  constructor(deps: LifecycleDeps, parts: { ledger: Ledger; launcher: Launcher }) {
    this.#deps = deps;
    this.#ledger = parts.ledger;
    this.#launcher = parts.launcher;
  }

  /** Rounds of one answer per instance; ends after one with `once`, or when none of the asked is left. */
  async *watch(references: string[], once: boolean, signal: AbortSignal): AsyncGenerator<StatsAnswer[]> {
    for (const reference of references) this.#ledger.find(reference);
    const before = new Map<string, Stats>();
    await this.#look(references, before);
    await this.#deps.clock.sleep(FIRST_LOOK_MS, signal).catch(() => undefined);
    while (!signal.aborted) {
      yield await this.#look(references, before);
      if (once) return;
      await this.#deps.clock.sleep(INTERVAL_MS, signal).catch(() => undefined);
    }
  }

  async #look(references: string[], before: Map<string, Stats>): Promise<StatsAnswer[]> {
    const records = references.length > 0 ? this.#asked(references) : this.#ledger.list();
    const running = records.filter((record) => record.state === 'running' || record.state === 'stopping');
    const rows = await Promise.all(running.map((record) => this.#one(record, before)));
    return rows.filter((row) => row !== undefined);
  }

  #asked(references: string[]): InstanceRecord[] {
    return references.flatMap((reference) => {
      const record = this.#deps.state.findInstance(reference);
      return record ? [record] : [];
    });
  }

  async #one(record: InstanceRecord, before: Map<string, Stats>): Promise<StatsAnswer | undefined> {
    try {
      const now = await this.#launcher.driverOf(record).stats(record.id, record.handle ?? '');
      const last = before.get(record.id);
      before.set(record.id, now);
      const elapsedMs = last ? now.at - last.at : 0;
      const usedMs = last ? (now.cpuNanoseconds - last.cpuNanoseconds) / 1e6 : 0;
      const { cpuNanoseconds: _, ...rest } = now;
      return {
        id: record.id,
        name: record.name,
        level: record.decision.level,
        cpuPercent: elapsedMs > 0 ? Math.max(0, (usedMs / elapsedMs) * 100) : 0,
        ...rest,
      };
    } catch {
      // It ended while we looked.
      return undefined;
    }
  }
}

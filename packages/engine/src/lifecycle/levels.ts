/** What every driver found out about this host; asked once, and again when `doctor` wants to know anew. */
import type { Decision } from '../domain/instance.ts';
import { LEVELS, type Level } from '../domain/level.ts';
import type { TaskSpec } from '../domain/task.ts';
import type { Driver, Fingerprint } from '../ports/driver.ts';
import type { ImageRecord } from '../ports/images.ts';
import type { Policy } from '../ports/policy.ts';

export class Levels {
  readonly #drivers: ReadonlyMap<Level, Driver>;
  readonly #policy: Policy;
  readonly #known = new Map<Level, Fingerprint>();
  readonly #asked = new Map<Level, Promise<Fingerprint>>();

  constructor(deps: { drivers: ReadonlyMap<Level, Driver>; policy: Policy }) {
    this.#drivers = deps.drivers;
    this.#policy = deps.policy;
  }

  /** Probes all at once; a probe that boots a machine takes seconds, and nobody waits for it who does not need it. */
  probe(): Promise<Fingerprint[]> {
    return Promise.all(LEVELS.map((level) => this.#ask(level)));
  }

  refresh(): Promise<Fingerprint[]> {
    this.#known.clear();
    this.#asked.clear();
    return this.probe();
  }

  /** A level still being probed counts as available until the choice falls on it. */
  async decide(task: TaskSpec, image: ImageRecord | undefined): Promise<Decision> {
    for (;;) {
      const decision = this.#policy.decide(task, image, this.#soFar());
      if (this.#known.has(decision.level)) return decision;
      await this.#ask(decision.level);
    }
  }

  #soFar(): Fingerprint[] {
    return LEVELS.map((level) => this.#known.get(level) ?? { level, available: true, holds: '', detail: {} });
  }

  #ask(level: Level): Promise<Fingerprint> {
    const running = this.#asked.get(level);
    if (running) return running;
    const driver = this.#drivers.get(level);
    const missing: Fingerprint = {
      level,
      available: false,
      holds: '',
      reason: level === 'vm' ? 'whole machines are not part of this version' : 'this engine has no driver for it',
      fix: level === 'vm' ? 'use `microvm`: the strongest level there is' : 'choose another level',
      detail: {},
    };
    const answer = (driver?.fingerprint() ?? Promise.resolve(missing))
      .catch(
        (error: unknown): Fingerprint => ({
          ...missing,
          reason: `the probe failed: ${error}`,
          fix: 'run `bulkhead doctor`',
        }),
      )
      .then((fingerprint) => {
        this.#known.set(level, fingerprint);
        return fingerprint;
      });
    this.#asked.set(level, answer);
    return answer;
  }
}

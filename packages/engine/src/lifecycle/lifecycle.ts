/** Everything the API can ask for, put together from ports; starts with recovery and leaves instances running when it ends. */
import { Creator } from './creator.ts';
import type { LifecycleDeps } from './deps.ts';
import { Endings } from './endings.ts';
import { Events } from './events.ts';
import { Execs } from './execs.ts';
import { Images } from './images.ts';
import { Instances } from './instances.ts';
import { Launcher } from './launcher.ts';
import { Ledger } from './ledger.ts';
import { Levels } from './levels.ts';
import { LiveTable } from './live.ts';
import { Networks } from './networks.ts';
import { Recovery } from './recovery.ts';
import { Removal } from './removal.ts';
import { Stopping } from './stopping.ts';
import { Usage } from './usage.ts';
import { Volumes } from './volumes.ts';

const ROTATE_EVERY_MS = 1000;

export class Lifecycle {
  readonly deps: LifecycleDeps;
  readonly events: Events;
  readonly levels: Levels;
  readonly images: Images;
  readonly instances: Instances;
  readonly execs: Execs;
  readonly usage: Usage;
  readonly networks: Networks;
  readonly volumes: Volumes;
  readonly creator: Creator;
  readonly table = new LiveTable();
  readonly #recovery: Recovery;
  readonly #over = new AbortController();

  constructor(deps: LifecycleDeps) {
    this.deps = deps;
    const events = new Events(deps);
    const ledger = new Ledger({ state: deps.state, events });
    const { table } = this;
    this.events = events;
    this.levels = new Levels(deps);
    this.images = new Images(deps, events);
    this.networks = new Networks(deps, events);
    this.volumes = new Volumes(deps, events);
    const launcher = new Launcher(deps, ledger);
    const removal = new Removal(deps, { ledger, events, table });
    const stopping = new Stopping(deps, { ledger, launcher, table });
    this.creator = new Creator(deps, { ledger, events, images: this.images, levels: this.levels });
    const endings = new Endings(deps, {
      ledger,
      table,
      hooks: {
        relaunch: (id) => this.instances.relaunch(id),
        remove: (id) => this.instances.remove(id, { force: false, volumes: true }),
        began: (record, run) => this.instances.watchHealth(record, run),
      },
    });
    this.instances = new Instances(deps, {
      ledger,
      table,
      creator: this.creator,
      launcher,
      endings,
      stopping,
      removal,
    });
    this.execs = new Execs(deps, { ledger, launcher });
    this.usage = new Usage(deps, { ledger, launcher });
    this.#recovery = new Recovery(deps, { ledger, events, launcher, endings, removal, stopping });
  }

  /** When this has answered the API may listen. */
  async start(): Promise<void> {
    await this.#recovery.run();
    void this.#rotate();
  }

  /** Ends timers; instances run on. */
  stop(): void {
    this.#over.abort();
  }

  async #rotate(): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      await this.deps.clock.sleep(ROTATE_EVERY_MS, signal).catch(() => undefined);
      if (!signal.aborted) await this.instances.rotateLogs();
    }
  }
}

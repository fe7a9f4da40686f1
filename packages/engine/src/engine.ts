/** A running engine: recovery first, then the API; it ends without touching what runs. */
import type { Check } from '@bulkhead/contract';
import { ApiServer } from './api/server.ts';
import { clearSocket, restrictSocket } from './api/socket.ts';
import type { LifecycleDeps } from './lifecycle/deps.ts';
import { Lifecycle } from './lifecycle/lifecycle.ts';

export interface EngineOptions {
  deps: LifecycleDeps;
  socket: string;
  version: string;
  doctor: (refresh: boolean) => Promise<Check[]>;
  /** Called after an orderly end that the API asked for. */
  ended: (asked: { stop: boolean; purge: boolean }) => void;
}

export class Engine {
  readonly lifecycle: Lifecycle;
  readonly #options: EngineOptions;
  readonly #server: ApiServer;
  #stopping: Promise<void> | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
    const { deps, version, doctor } = options;
    this.lifecycle = new Lifecycle(deps);
    const shutdown = (asked: { stop: boolean; purge: boolean }) => {
      this.stop(asked)
        .catch((error: unknown) => deps.report('shutdown', error))
        .finally(() => options.ended(asked));
    };
    this.#server = new ApiServer(this.lifecycle, { version, doctor, shutdown }, deps.report);
  }

  async start(): Promise<void> {
    await clearSocket(this.#options.socket);
    await this.lifecycle.start();
    await this.#server.listen(this.#options.socket);
    restrictSocket(this.#options.socket);
  }

  /** `stop`: instances first; `purge`: what is on the host for networks, too. */
  stop(asked: { stop: boolean; purge: boolean } = { stop: false, purge: false }): Promise<void> {
    this.#stopping ??= this.#end(asked);
    return this.#stopping;
  }

  async #end({ stop, purge }: { stop: boolean; purge: boolean }): Promise<void> {
    const { deps } = this.#options;
    if (stop || purge) {
      const running = this.lifecycle.instances.list().filter((record) => record.state === 'running');
      await Promise.all(
        running.map((record) =>
          this.lifecycle.instances
            .stop(record.id)
            .catch((error: unknown) => deps.report(`stop of ${record.name}`, error)),
        ),
      );
    }
    await this.#server.close();
    this.lifecycle.stop();
    for (const driver of deps.drivers.values()) await driver.close?.();
    await (purge ? deps.network.destroyAll() : deps.network.close?.());
    deps.state.close();
  }
}

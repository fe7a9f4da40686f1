/** Instances that are half started before anyone asks: an id, a cgroup, and a supervisor inside it that waits for a bundle. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { TaskSpec } from '../domain/task.ts';
import { logPath } from '../host/paths.ts';
import type { StartPlan } from '../ports/driver.ts';
import { joinedCgroups, LOG_BACKSTOP, type Runtime, type RuntimeDeps } from './runtime.ts';

/** How many are kept ready; a burst takes the ordinary way. Each costs as much memory as an idle conmon. */
const READY = 2;

export class StandbyInstances {
  readonly #deps: RuntimeDeps;
  readonly #discard: (id: string) => Promise<void>;
  #runtime: Runtime | undefined;

  constructor(deps: RuntimeDeps, discard: (id: string) => Promise<void>) {
    this.#deps = deps;
    this.#discard = discard;
  }

  /** An id for `task` that starts faster than a fresh one. Whoever takes it starts it, or destroys it. */
  take(task: TaskSpec): string | undefined {
    // A terminal and an open input are made with the supervisor; most tasks have neither.
    if (this.#runtime === undefined || task.tty || task.openStdin) return undefined;
    return this.#deps.supervisor.standby.take(kindOf(this.#runtime, task.log.maxSizeBytes));
  }

  /** After a start: the next is likely to be of the same kind. */
  refill(runtime: Runtime, plan: StartPlan): void {
    if (!runtime.standby || plan.process.tty || plan.process.stdin) return;
    const { supervisor, cgroup, paths } = this.#deps;
    this.#runtime = runtime;
    supervisor.standby.refill(kindOf(runtime, plan.logMaxBytes), READY, {
      prepare: () => {
        const id = randomBytes(16).toString('hex');
        const bundle = path.join(paths.run, 'instances', id);
        const log = logPath(paths, id);
        mkdirSync(bundle, { recursive: true, mode: 0o711 });
        mkdirSync(path.dirname(log), { recursive: true, mode: 0o711 });
        return {
          id,
          bundle,
          runtime: runtime.command,
          runtimeArgs: runtime.args,
          joinCgroups: joinedCgroups(cgroup, runtime, id, {}),
          tty: false,
          stdin: false,
          logPath: log,
          logMaxBytes: plan.logMaxBytes * LOG_BACKSTOP,
        };
      },
      discard: async (id) => {
        await this.#discard(id);
        rmSync(path.dirname(logPath(paths, id)), { recursive: true, force: true });
      },
    });
  }
}

function kindOf(runtime: Runtime, logMaxBytes: number): string {
  return JSON.stringify([runtime.command, runtime.args, logMaxBytes]);
}

/** Files of a stopped instance: a short run of busybox on its root, without network and outside of the supervisor. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { busyboxProcess } from '../ports/busybox.ts';
import type { Session, StartPlan } from '../ports/driver.ts';
import { FILE_CAPABILITIES } from './archive.ts';
import type { InstanceBundles } from './instance-bundle.ts';
import type { Runtime, RuntimeDeps } from './runtime.ts';
import { pipeSession } from './session.ts';

export class StoppedFiles {
  readonly #deps: RuntimeDeps;
  readonly #bundles: InstanceBundles;
  /** One at a time for each instance: they share its root and its name. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(deps: RuntimeDeps, bundles: InstanceBundles) {
    this.#deps = deps;
    this.#bundles = bundles;
  }

  async run(plan: StartPlan, runtime: Runtime, args: string[], clear: () => Promise<void>): Promise<Session> {
    const before = this.#turns.get(plan.id) ?? Promise.resolve();
    const begun = before.then(async () => {
      await clear();
      return this.#run(plan, runtime, args);
    });
    const over = begun.then(
      (session) => session.exit,
      () => undefined,
    );
    this.#turns.set(plan.id, over);
    void over.finally(() => {
      if (this.#turns.get(plan.id) === over) this.#turns.delete(plan.id);
    });
    return begun;
  }

  async #run(plan: StartPlan, runtime: Runtime, args: string[]): Promise<Session> {
    const root = await this.#deps.rootfs.mount(plan.id, plan.layers, plan.limits.diskBytes);
    const folder = path.join(this.#bundles.folderOf(plan.id), 'helper');
    const { lease: _lease, ...rest } = plan;
    const identity = { uid: 0, gid: 0, additionalGids: [], home: '/' };
    const helper: StartPlan = {
      ...rest,
      process: busyboxProcess(args, { stdin: true }),
      capabilities: FILE_CAPABILITIES,
      init: false,
      readOnlyRoot: false,
      limits: {},
      ulimits: [],
    };
    this.#bundles.write(helper, { folder, root, identity, runtime });
    return pipeSession({
      command: runtime.command,
      args: [...runtime.args, 'run', '--bundle', folder, plan.id],
      tty: false,
      stdin: true,
      done: async () => {
        await this.#deps.rootfs.unmount(plan.id);
        rmSync(this.#bundles.folderOf(plan.id), { recursive: true, force: true });
      },
    });
  }
}

/** Processes beside the task's own: started by the runtime's `exec`, in the same groups, with the same limits. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { BUSYBOX } from '../ports/busybox.ts';
import type { ProcessSpec, Session } from '../ports/driver.ts';
import { processConfig } from './config.ts';
import { NOT_EXECUTABLE, NOT_FOUND, withShellCodes } from './exec-failure.ts';
import { checkedDirectory, type InstanceBundles } from './instance-bundle.ts';
import { type Handle, insideCgroups, type Runtime, type RuntimeDeps } from './runtime.ts';
import { pipeSession, terminalSession } from './session.ts';
import { resolveUser } from './user.ts';

/** Asks in the instance itself, where alone its mounts are seen. */
const LOOK = `[ -e "$1" ] || exit ${NOT_FOUND}; [ -f "$1" ] && [ -x "$1" ] || exit ${NOT_EXECUTABLE}`;

export class Execs {
  readonly #deps: RuntimeDeps;
  readonly #bundles: InstanceBundles;
  #count = 0;

  constructor(deps: RuntimeDeps, bundles: InstanceBundles) {
    this.#deps = deps;
    this.#bundles = bundles;
  }

  async run(id: string, handle: Handle, spec: ProcessSpec, runtime: Runtime): Promise<Session> {
    const session = await this.#begin(id, handle, spec, runtime);
    const [program = ''] = spec.args;
    if (!runtime.execsInSilence || !program.includes('/')) return withShellCodes(session);
    const question = [BUSYBOX, 'sh', '-c', LOOK, 'sh', program];
    return withShellCodes(session, {
      program,
      code: async () => {
        const asked = await this.#begin(id, handle, { ...spec, args: question, tty: false, stdin: false }, runtime);
        asked.stdout.resume();
        asked.stderr.resume();
        return asked.exit;
      },
    });
  }

  async #begin(id: string, handle: Handle, spec: ProcessSpec, runtime: Runtime): Promise<Session> {
    const { cgroup, rootfs } = this.#deps;
    const folder = this.#bundles.folderOf(id);
    const checked = { ...spec, cwd: checkedDirectory(spec.cwd) };
    const identity = await resolveUser(rootfs, path.join(folder, 'rootfs'), spec.user, spec.groupAdd);
    const name = path.join(folder, `exec-${process.pid}-${this.#count++}`);
    const files = { process: `${name}.json`, pid: `${name}.pid` };
    const config = processConfig(checked, identity, handle.capabilities, handle.rlimits ?? []);
    writeFileSync(files.process, JSON.stringify(config));
    const words = [
      ...runtime.args,
      'exec',
      '--process',
      files.process,
      '--pid-file',
      files.pid,
      ...(spec.tty ? runtime.terminalFlags : []),
      id,
    ];
    // A runtime that knows nothing of cgroups leaves what it executes in the engine's.
    const directories = runtime.ownDevices ? cgroup.directories(id) : [];
    const [program, args] = insideCgroups(directories, runtime.command, words);
    const command = {
      command: program,
      args,
      tty: spec.tty,
      stdin: spec.stdin,
      done: () => {
        for (const file of Object.values(files)) rmSync(file, { force: true });
      },
    };
    const session = await (spec.tty ? terminalSession(command) : pipeSession(command));
    return {
      ...session,
      close: () => {
        this.#end(id, files.pid);
        session.close();
      },
    };
  }

  /** The runtime's own client can only be killed, which its process outlives. */
  #end(id: string, pidFile: string): void {
    try {
      const pid = Number(readFileSync(pidFile, 'utf8'));
      if (pid > 0 && this.#deps.cgroup.pids(id).includes(pid)) process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended, or has not begun.
    }
  }
}

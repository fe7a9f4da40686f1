/** The supervisor: one conmon per instance keeps its log and exit code. It refuses to know what a level is. */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants, existsSync, mkdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { BulkheadError } from '@bulkhead/contract';
import type { Exit } from '../ports/driver.ts';
import type { HostPaths } from '../ports/host.ts';
import type { SupervisedRun, Supervisor } from '../ports/supervisor.ts';
import { ConmonFolders, conmonArguments, conmonEnvironment, WRAPPER } from './conmon-call.ts';
import { ExitFiles } from './exit-files.ts';
import { startFailure } from './start-failure.ts';
import { endKeeper, openFifo, openTerminal } from './task-input.ts';

/** Longest wait for the runtime to have made the container. */
const START_LIMIT_MS = 60_000;
const TROUBLE_MAX_CHARS = 8_192;
/** Message types of conmon's control FIFO. */
const RESIZE = 1;
const REOPEN_LOG = 2;

export class ConmonSupervisor implements Supervisor {
  readonly #folders: ConmonFolders;
  readonly #exits: ExitFiles;

  constructor(deps: { paths: HostPaths }) {
    this.#folders = new ConmonFolders(deps.paths.run);
    for (const folder of this.#folders.all()) mkdirSync(folder, { recursive: true, mode: 0o711 });
    writeFileSync(this.#folders.wrapper, WRAPPER, { mode: 0o755 });
    this.#exits = new ExitFiles(this.#folders.exits, this.#folders.persist);
  }

  async start(run: SupervisedRun): Promise<{ pid: number }> {
    const persist = path.join(this.#folders.persist, run.id);
    mkdirSync(persist, { recursive: true });
    rmSync(path.join(this.#folders.exits, run.id), { force: true });
    rmSync(path.join(persist, 'oom'), { force: true });
    const child = spawn('conmon', conmonArguments(run, this.#folders), {
      // It also notes a lack of memory in the folder it starts in.
      cwd: persist,
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      env: conmonEnvironment(run, this.#folders),
    });
    return { pid: await answer(run.id, child) };
  }

  wait(id: string): Promise<Exit> {
    return this.#exits.wait(id, { supervisor: () => this.#supervisorPid(id), taskGone: () => this.#taskGone(id) });
  }

  #taskGone(id: string): boolean {
    try {
      const pid = Number(readFileSync(this.#folders.pidFile(id, 'task'), 'utf8'));
      return /\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ENOENT';
    }
  }

  exited(id: string): Promise<Exit | undefined> {
    return Promise.resolve(this.#exits.read(id));
  }

  alive(id: string): Promise<boolean> {
    return Promise.resolve(this.#supervisorPid(id) !== undefined);
  }

  /** Undefined unless a conmon of this very instance has the pid: pids are reused. */
  #supervisorPid(id: string): number | undefined {
    try {
      const pid = Number(readFileSync(this.#folders.pidFile(id, 'conmon'), 'utf8'));
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(id) &&
        readlinkSync(`/proc/${pid}/exe`).includes('conmon')
        ? pid
        : undefined;
    } catch {
      return undefined;
    }
  }

  async attachStdin(id: string): Promise<Writable> {
    const fifo = this.#folders.inputOf(id);
    if (existsSync(fifo)) return openFifo(fifo);
    return openTerminal(path.join(this.#folders.bundleOf(id), 'attach'), id.slice(0, 12));
  }

  async resize(id: string, columns: number, rows: number): Promise<void> {
    await this.#control(id, `${RESIZE} ${rows} ${columns}\n`);
  }

  /** Tells conmon to open the log anew, after a rotation. */
  async reopenLog(id: string): Promise<void> {
    await this.#control(id, `${REOPEN_LOG} 0 0\n`);
  }

  async #control(id: string, message: string): Promise<void> {
    // conmon reads a FIFO in the bundle; without a reader the open fails at once instead of blocking.
    const fifo = path.join(this.#folders.bundleOf(id), 'ctl');
    try {
      const file = await open(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
      await file.write(message);
      await file.close();
    } catch (error) {
      if (!['ENXIO', 'ENOENT', 'EPIPE'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }

  async forget(id: string): Promise<void> {
    endKeeper(this.#folders.inputOf(id));
    const pid = this.#supervisorPid(id);
    if (pid !== undefined) {
      // It ends by itself about a second after its container; nothing is lost by not waiting for that.
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It went in this moment.
      }
    }
    for (const folder of [this.#folders.attach, this.#folders.persist, this.#folders.exits])
      rmSync(path.join(folder, id), { recursive: true, force: true });
    for (const whose of ['task', 'conmon'] as const) rmSync(this.#folders.pidFile(id, whose), { force: true });
  }
}

/** conmon's own words on the sync pipe: `{"pid": n}` or `{"pid": -1, "message": "..."}`; silence is a failure too. */
function answer(id: string, child: ChildProcess): Promise<number> {
  const pipe = child.stdio[3] as Readable;
  const limitSeconds = START_LIMIT_MS / 1000;
  let sync = '';
  let trouble = '';
  return new Promise<number>((resolve, reject) => {
    const limit = setTimeout(
      () =>
        reject(new BulkheadError('timeout', `the runtime did not start ${id.slice(0, 12)} within ${limitSeconds} s`)),
      START_LIMIT_MS,
    );
    const settle = (outcome: number | Error): void => {
      clearTimeout(limit);
      if (typeof outcome === 'number') resolve(outcome);
      else reject(outcome);
    };
    child.on('error', (cause) =>
      settle(new BulkheadError('tool_missing', 'conmon cannot be run: it is not installed', { cause })),
    );
    child.stderr?.on('data', (chunk: Buffer) => {
      if (trouble.length < TROUBLE_MAX_CHARS) trouble += chunk.toString();
    });
    pipe.on('data', (chunk: Buffer) => {
      sync += chunk.toString();
      const line = sync.split('\n').find((text) => text.includes('}'));
      if (line === undefined) return;
      const said = JSON.parse(line) as { pid?: number; data?: number; message?: string };
      const pid = said.pid ?? said.data ?? -1;
      settle(pid > 0 ? pid : startFailure(said.message ?? trouble));
    });
    pipe.on('error', settle);
    pipe.on('end', () => settle(startFailure(trouble === '' ? 'conmon ended without an answer' : trouble)));
  }).finally(() => {
    // The daemon keeps its ends for as long as the task runs; the engine must not.
    pipe.destroy();
    child.stderr?.destroy();
  });
}

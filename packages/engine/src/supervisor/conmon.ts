/** The supervisor: one conmon per instance keeps its log and exit code. It refuses to know what a level is. */
import { spawn } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import type { Writable } from 'node:stream';
import { BulkheadError } from '@bulkhead/contract';
import type { Exit } from '../ports/driver.ts';
import type { HostPaths } from '../ports/host.ts';
import type { Standby, SupervisedRun, Supervisor } from '../ports/supervisor.ts';
import { answerOf } from './conmon-answer.ts';
import { ConmonFolders, conmonArguments, conmonEnvironment, WRAPPER } from './conmon-call.ts';
import { ExitFiles } from './exit-files.ts';
import { StandbyPool } from './standby.ts';
import { endKeeper, openFifo, openTerminal } from './task-input.ts';

/** Longest wait for the runtime to have made the container. */
const START_LIMIT_MS = 60_000;
/** Message types of conmon's control FIFO. */
const RESIZE = 1;
const REOPEN_LOG = 2;

export class ConmonSupervisor implements Supervisor {
  readonly #folders: ConmonFolders;
  readonly #exits: ExitFiles;
  readonly #pool: StandbyPool;

  constructor(deps: { paths: HostPaths }) {
    this.#folders = new ConmonFolders(deps.paths.run);
    for (const folder of this.#folders.all()) mkdirSync(folder, { recursive: true, mode: 0o711 });
    writeFileSync(this.#folders.wrapper, WRAPPER, { mode: 0o755 });
    this.#exits = new ExitFiles(this.#folders.exits, this.#folders.persist);
    this.#pool = new StandbyPool(
      (run) => this.#launch(run, true),
      (id) => this.#folders.standbyOf(id),
    );
  }

  get standby(): Standby {
    return this.#pool;
  }

  async start(run: SupervisedRun): Promise<{ pid: number }> {
    // Of an earlier run.
    rmSync(path.join(this.#folders.exits, run.id), { force: true });
    rmSync(path.join(this.#folders.persist, run.id, 'oom'), { force: true });
    return { pid: await withinLimit(run.id, this.#pool.go(run.id) ?? this.#launch(run, false)) };
  }

  #launch(run: SupervisedRun, standby: boolean): Promise<number> {
    const persist = path.join(this.#folders.persist, run.id);
    mkdirSync(persist, { recursive: true });
    const child = spawn('conmon', conmonArguments(run, this.#folders), {
      // It also notes a lack of memory in the folder it starts in.
      cwd: persist,
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      env: conmonEnvironment(run, this.#folders, standby),
    });
    return answerOf(child);
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
    this.#pool.forget(id);
    endStandby(this.#folders.standbyOf(id));
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

/** Whoever still waits for a reader or a writer of it sees the end of it. */
function endStandby(fifo: string): void {
  try {
    closeSync(openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK));
  } catch {
    // An ordinary start has none.
  }
}

async function withinLimit(id: string, answer: Promise<number>): Promise<number> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    const message = `the runtime did not start ${id.slice(0, 12)} within ${START_LIMIT_MS / 1000} s`;
    timer = setTimeout(() => reject(new BulkheadError('timeout', message)), START_LIMIT_MS);
  });
  return Promise.race([answer, limit]).finally(() => clearTimeout(timer));
}

/** The supervisor: one conmon per instance keeps its log and exit code. It refuses to know what a level is. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { Socket } from 'node:net';
import path from 'node:path';
import { type Writable, Writable as WritableStream } from 'node:stream';
import { BulkheadError } from '@bulkhead/contract';
import type { Exit } from '../ports/driver.ts';
import type { HostPaths } from '../ports/host.ts';
import type { SupervisedRun, Supervisor } from '../ports/supervisor.ts';
import { ExitFiles } from './exit-files.ts';
import { startFailure } from './start-failure.ts';

/** conmon asks its runtime to `create`; this runs it instead, which saves the separate `start` (about 4 ms). */
const WRAPPER = `#!/bin/sh
# conmon calls this as the OCI runtime: create --bundle B --pid-file P ID
set -f
IFS='
'
for group in $BULKHEAD_JOIN; do echo $$ >"$group/cgroup.procs" || exit 1; done
shift
if [ -n "$BULKHEAD_STDIN" ]; then
  # Whoever keeps the other end open is neither the engine, which may die, nor the task.
  sleep infinity 9<>"$BULKHEAD_STDIN" </dev/null >/dev/null 2>&1 &
  echo $! >"$BULKHEAD_STDIN.keeper"
  exec <"$BULKHEAD_STDIN"
fi
if [ -n "$BULKHEAD_EXTRA_OUTPUT" ]; then
  # The same two pipes once more, for a program that will not take its standard output by number.
  exec 3>&1 4>&2
  set -- --preserve-fds 2 "$@"
fi
exec "$BULKHEAD_RUNTIME" $BULKHEAD_RUNTIME_ARGS run --detach "$@"
`;

/** Longest wait for the runtime to have made the container. */
const START_LIMIT_MS = 60_000;

export class ConmonSupervisor implements Supervisor {
  readonly #exits: ExitFiles;
  readonly #folders: { wrapper: string; exits: string; attach: string; persist: string; pids: string };

  constructor(deps: { paths: HostPaths }) {
    const { run } = deps.paths;
    this.#folders = {
      wrapper: path.join(run, 'runtime.sh'),
      exits: path.join(run, 'exits'),
      attach: path.join(run, 'attach'),
      persist: path.join(run, 'persist'),
      pids: path.join(run, 'pids'),
    };
    for (const folder of [run, this.#folders.exits, this.#folders.attach, this.#folders.persist, this.#folders.pids])
      mkdirSync(folder, { recursive: true, mode: 0o711 });
    writeFileSync(this.#folders.wrapper, WRAPPER, { mode: 0o755 });
    this.#exits = new ExitFiles(this.#folders.exits, this.#folders.persist);
  }

  async start(run: SupervisedRun): Promise<{ pid: number }> {
    const persist = path.join(this.#folders.persist, run.id);
    mkdirSync(persist, { recursive: true });
    rmSync(path.join(this.#folders.exits, run.id), { force: true });
    rmSync(path.join(persist, 'oom'), { force: true });
    const args = [
      '-c',
      run.id,
      '-u',
      run.id,
      '-n',
      run.id,
      '-b',
      run.bundle,
      '-r',
      this.#folders.wrapper,
      '-l',
      `k8s-file:${run.logPath}`,
    ];
    args.push(
      '-p',
      this.#pidFile(run.id, 'task'),
      '-P',
      this.#pidFile(run.id, 'conmon'),
      '--exit-dir',
      this.#folders.exits,
      '--persist-dir',
      persist,
      '--socket-dir-path',
      this.#folders.attach,
    );
    if (run.logMaxBytes > 0) args.push('--log-size-max', String(run.logMaxBytes));
    if (run.tty) args.push('-t');
    // conmon's own input blocks it while the task does not read, and with it the task's output.
    if (run.stdin && run.tty) args.push('-i');
    const input = run.stdin && !run.tty ? path.join(run.bundle, 'stdin') : '';
    if (input !== '' && !existsSync(input)) execFileSync('mkfifo', ['-m', '0666', input]);
    args.push('--full-attach');
    const env = {
      PATH: process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin',
      _OCI_SYNCPIPE: '3',
      BULKHEAD_RUNTIME: run.runtime,
      BULKHEAD_RUNTIME_ARGS: run.runtimeArgs.join('\n'),
      BULKHEAD_STDIN: input,
      BULKHEAD_EXTRA_OUTPUT: run.extraOutput ? '1' : '',
      BULKHEAD_JOIN: run.joinCgroups.join('\n'),
    };
    // It also notes a lack of memory in the folder it starts in.
    const child = spawn('conmon', args, { cwd: persist, stdio: ['ignore', 'ignore', 'pipe', 'pipe'], env });
    return { pid: await this.#answer(run.id, child) };
  }

  /** conmon's own words on the sync pipe: `{"pid": n}` or `{"pid": -1, "message": "..."}`; silence is a failure too. */
  #answer(id: string, child: ChildProcess): Promise<number> {
    return new Promise((resolve, reject) => {
      let sync = '';
      let trouble = '';
      const limit = setTimeout(
        () =>
          fail(
            new BulkheadError(
              'timeout',
              `the runtime did not start ${id.slice(0, 12)} within ${START_LIMIT_MS / 1000} s`,
            ),
          ),
        START_LIMIT_MS,
      );
      const fail = (error: Error): void => {
        clearTimeout(limit);
        reject(error);
      };
      child.on('error', (cause) =>
        fail(new BulkheadError('tool_missing', 'conmon cannot be run: it is not installed', { cause })),
      );
      child.stderr?.on('data', (chunk: Buffer) => {
        if (trouble.length < 8192) trouble += chunk.toString();
      });
      // The daemon inherits stderr: it must not keep the engine's event loop busy once it has answered.
      const pipe = child.stdio[3];
      if (pipe === null || pipe === undefined || !('on' in pipe)) return fail(new Error('no sync pipe'));
      pipe.on('data', (chunk: Buffer) => {
        sync += chunk.toString();
        const line = sync.split('\n').find((text) => text.includes('}'));
        if (line === undefined) return;
        clearTimeout(limit);
        const answer = JSON.parse(line) as { pid?: number; data?: number; message?: string };
        const pid = answer.pid ?? answer.data ?? -1;
        child.stderr?.destroy();
        if (pid > 0) resolve(pid);
        else fail(startFailure(answer.message ?? trouble));
      });
      pipe.on('end', () => {
        if (!sync.includes('}')) fail(startFailure(trouble === '' ? 'conmon ended without an answer' : trouble));
      });
    });
  }

  #pidFile(id: string, whose: 'task' | 'conmon'): string {
    return path.join(this.#folders.pids, `${id}.${whose}`);
  }

  wait(id: string): Promise<Exit> {
    return this.#exits.wait(id, { supervisor: () => this.#supervisorPid(id), taskGone: () => this.#taskGone(id) });
  }

  #taskGone(id: string): boolean {
    try {
      const stat = readFileSync(`/proc/${Number(readFileSync(this.#pidFile(id, 'task'), 'utf8'))}/stat`, 'utf8');
      return /\) [ZX] /.test(stat);
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
      const pid = Number(readFileSync(this.#pidFile(id, 'conmon'), 'utf8'));
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(id) &&
        existsSync(`/proc/${pid}/exe`) &&
        readlinkSync(`/proc/${pid}/exe`).includes('conmon')
        ? pid
        : undefined;
    } catch {
      return undefined;
    }
  }

  /** Pipes have a FIFO; a terminal is conmon's own, behind a SOCK_SEQPACKET socket, which Node lacks and socat has. */
  async attachStdin(id: string): Promise<Writable> {
    const fifo = path.join(this.#bundleOf(id), 'stdin');
    if (existsSync(fifo)) return this.#feed(fifo);
    // With --full-attach it lies in the bundle.
    const socket = path.join(this.#bundleOf(id), 'attach');
    for (let attempt = 0; !existsSync(socket) && attempt < 100; attempt++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    if (!existsSync(socket))
      throw new BulkheadError(
        'wrong_state',
        `${id.slice(0, 12)} has no attach socket: it has ended, or was started without -i`,
      );
    // Packets stay below conmon's buffer (8 KiB); nothing is read back: output is in the log. An empty packet says end of file.
    const child = spawn('socat', ['-u', '-b', '8192', 'STDIN', `UNIX-CONNECT:${socket},type=5,shut-null`], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    child.on('error', () => child.stdin.destroy());
    return child.stdin;
  }

  #feed(fifo: string): Writable {
    let descriptor: number;
    try {
      descriptor = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error;
      // The task has closed its input: what comes is thrown away, as by a closed pipe.
      return new WritableStream({ write: (_chunk, _encoding, callback) => callback() });
    }
    const input = new Socket({ fd: descriptor, readable: false, writable: true });
    input.on('error', () => input.destroy());
    // The end of what the client sent is the end of the task's input; a client that only goes away is not.
    input.on('finish', () => endKeeper(fifo));
    return input;
  }

  async resize(id: string, columns: number, rows: number): Promise<void> {
    await this.#control(id, `1 ${rows} ${columns}\n`);
  }

  /** Tells conmon to open the log anew, after a rotation. */
  async reopenLog(id: string): Promise<void> {
    await this.#control(id, '2 0 0\n');
  }

  async #control(id: string, message: string): Promise<void> {
    // conmon reads a FIFO in the bundle; without a reader the open fails at once instead of blocking.
    const fifo = path.join(this.#bundleOf(id), 'ctl');
    try {
      const file = await open(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
      await file.write(message);
      await file.close();
    } catch (error) {
      if (!['ENXIO', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }

  #bundleOf(id: string): string {
    return path.join(path.dirname(this.#folders.exits), 'instances', id);
  }

  async forget(id: string): Promise<void> {
    endKeeper(path.join(this.#bundleOf(id), 'stdin'));
    const pid = this.#supervisorPid(id);
    if (pid !== undefined) {
      // It ends by itself about a second after its container; nothing is lost by not waiting for that.
      try {
        process.kill(pid, 'SIGKILL');
      } catch {}
    }
    for (const folder of [this.#folders.attach, this.#folders.persist]) {
      const entry = path.join(folder, id);
      rmSync(entry, { recursive: true, force: true });
    }
    rmSync(path.join(this.#folders.exits, id), { force: true });
    for (const whose of ['task', 'conmon'] as const) rmSync(this.#pidFile(id, whose), { force: true });
  }

  /** Ids of which a conmon or its files are left. */
  known(): string[] {
    const names = [
      ...readdirSync(this.#folders.persist),
      ...readdirSync(this.#folders.attach),
      ...readdirSync(this.#folders.pids).map((file) => file.split('.')[0] ?? ''),
    ];
    return [...new Set(names)].filter((name) => /^[0-9a-f]{32}$/.test(name));
  }
}

/** The process that keeps a task's input open. Its pid is checked: numbers are reused. */
function endKeeper(fifo: string): void {
  try {
    const pid = Number(readFileSync(`${fifo}.keeper`, 'utf8'));
    if (pid > 0 && readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('sleep\0infinity'))
      process.kill(pid, 'SIGKILL');
  } catch {
    // There is none, or it is gone.
  }
  rmSync(`${fifo}.keeper`, { force: true });
}

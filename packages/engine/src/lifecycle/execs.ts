/** Processes started inside running instances: prepared, started once, remembered for a while. */
import { BulkheadError, type ExecCreate } from '@bulkhead/contract';
import type { InstanceRecord } from '../domain/instance.ts';
import { BUSYBOX, busyboxProcess } from '../ports/busybox.ts';
import type { ProcessSpec, Session } from '../ports/driver.ts';
import type { LifecycleDeps } from './deps.ts';
import type { Launcher } from './launcher.ts';
import type { Ledger } from './ledger.ts';
import { processOf } from './plan.ts';
import { mergeEnv } from './process.ts';

/** Ended execs that can still be inspected. */
const REMEMBERED = 1000;

export interface Exec {
  id: string;
  instance: string;
  process: ProcessSpec;
  running: boolean;
  exitCode?: number;
}

export class Execs {
  readonly #deps: LifecycleDeps;
  readonly #ledger: Ledger;
  readonly #launcher: Launcher;
  readonly #table = new Map<string, Exec & { started: boolean }>();

  constructor(deps: LifecycleDeps, parts: { ledger: Ledger; launcher: Launcher }) {
    this.#deps = deps;
    this.#ledger = parts.ledger;
    this.#launcher = parts.launcher;
  }

  create(reference: string, request: ExecCreate): Exec {
    const record = this.#running(reference);
    for (const text of [...request.command, ...(request.env ?? []), request.user ?? '', request.workdir ?? '']) {
      if (text.includes('\0')) throw new BulkheadError('invalid_request', 'the command holds a NUL character');
    }
    if (request.workdir !== undefined && !request.workdir.startsWith('/')) {
      throw new BulkheadError(
        'invalid_request',
        `the working directory ${JSON.stringify(request.workdir)} is not absolute`,
      );
    }
    const main = processOf(record, this.#launcher.imageOf(record));
    const tty = request.tty ?? false;
    const exec = {
      id: this.#deps.clock.newId(),
      instance: record.id,
      process: {
        args: request.command,
        env: mergeEnv(tty ? ['TERM=xterm'] : [], main.env, request.env ?? []),
        cwd: request.workdir ?? main.cwd,
        user: request.user ?? main.user,
        groupAdd: main.groupAdd,
        tty,
        stdin: request.openStdin ?? false,
      },
      running: false,
      started: false,
    };
    this.#forgetOld();
    this.#table.set(exec.id, exec);
    return exec;
  }

  get(id: string): Exec {
    const exec = this.#table.get(id);
    if (!exec) throw new BulkheadError('no_such_exec', `there is no exec ${JSON.stringify(id)}`);
    return exec;
  }

  async start(id: string): Promise<{ session: Session; exec: Exec }> {
    this.get(id);
    const exec = this.#table.get(id)!;
    if (exec.started) throw new BulkheadError('wrong_state', `exec ${id} was started before`);
    const record = this.#running(exec.instance);
    exec.started = true;
    const session = await this.#launcher.driverOf(record).exec(record.id, record.handle ?? '', exec.process);
    exec.running = true;
    this.#ledger.tell(record, 'exec_start', { exec: id });
    const ended = (code: number) => {
      exec.running = false;
      exec.exitCode = code;
    };
    void session.exit.then(ended, () => ended(137));
    return { session, exec };
  }

  /** Nobody reads what it says; it runs on until it ends or its instance does. */
  async startDetached(id: string): Promise<Exec> {
    const { session, exec } = await this.start(id);
    session.stdout.resume();
    session.stderr.resume();
    session.stdin.on('error', () => undefined);
    session.stdin.end();
    return exec;
  }

  /** Every level has the same small `ps`, run inside: process ids are those the task knows. */
  async top(reference: string): Promise<{ titles: string[]; processes: string[][] }> {
    const record = this.#running(reference);
    const ps = busyboxProcess(['ps', '-o', 'user,pid,ppid,stat,rss,args'], { stdin: false });
    const session = await this.#launcher.driverOf(record).exec(record.id, record.handle ?? '', ps);
    session.stderr.resume();
    const chunks: Buffer[] = [];
    for await (const chunk of session.stdout) chunks.push(chunk as Buffer);
    const code = await session.exit;
    if (code !== 0)
      throw new BulkheadError('start_failed', `no process can be started inside ${record.name} (${code})`);
    const [, ...rows] = Buffer.concat(chunks).toString('utf8').trimEnd().split('\n');
    const processes = rows
      .map((row) => /^\s*(\S+)\s+(\d+)\s+(\d+)\s+(\S+(?: \S+)?)\s+(\S+)\s+(.*)$/.exec(row)?.slice(1) ?? [])
      .filter((row) => row.length > 0 && !row.at(-1)?.startsWith(`${BUSYBOX} ps -o`));
    return { titles: ['USER', 'PID', 'PPID', 'STAT', 'RSS', 'COMMAND'], processes };
  }

  #running(reference: string): InstanceRecord {
    const record = this.#ledger.find(reference);
    if (record.state !== 'running') throw new BulkheadError('wrong_state', `instance ${record.name} is not running`);
    return record;
  }

  #forgetOld(): void {
    if (this.#table.size < REMEMBERED) return;
    for (const [id, exec] of this.#table) {
      if (!exec.running) this.#table.delete(id);
      if (this.#table.size < REMEMBERED) return;
    }
  }
}

/** A driver without a host: the task's environment says what happens. Runs are files, so they outlive the engine as real ones do. */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { PassThrough, Readable } from 'node:stream';
import { BulkheadError, ERRORS, type ErrorCode } from '@bulkhead/contract';
import type { Level } from '../../domain/level.ts';
import type { Clock } from '../../ports/clock.ts';
import type {
  Attachment,
  Driver,
  Exit,
  Fingerprint,
  ProcessSpec,
  RecoveredState,
  Session,
  StartPlan,
  Stats,
} from '../../ports/driver.ts';
import type { HostPaths } from '../../ports/host.ts';
import { MockRuns } from './runs.ts';
import { mockSession } from './session.ts';

const SIGKILL = 9;
const SIGTERM = 15;

export interface MockDriverDeps {
  level: Level;
  paths: HostPaths;
  clock: Clock;
  /** Absent: available. */
  fingerprint?: Partial<Fingerprint>;
}

/**
 * Environment of a task: `MOCK_RUN_FOR` ms (else for ever), `MOCK_EXIT_CODE`, `MOCK_OUTPUT` and `MOCK_STDERR`
 * (a line each), `MOCK_START_ERROR` (an error code), `MOCK_START_DELAY` ms, `MOCK_IGNORE_TERM`, `MOCK_OOM`.
 */
export class MockDriver implements Driver {
  readonly level: Level;
  readonly #clock: Clock;
  readonly #runs: MockRuns;
  readonly #writable: string;
  readonly #fingerprint: Partial<Fingerprint>;
  readonly #wakes = new Map<string, () => void>();

  constructor(deps: MockDriverDeps) {
    this.level = deps.level;
    this.#clock = deps.clock;
    this.#runs = new MockRuns(`${deps.paths.run}/mock-${deps.level}`);
    this.#writable = `${deps.paths.data}/mock-${deps.level}`;
    this.#fingerprint = deps.fingerprint ?? {};
  }

  async fingerprint(): Promise<Fingerprint> {
    return { level: this.level, available: true, holds: 'nothing: it is a mock', detail: {}, ...this.#fingerprint };
  }

  async start(plan: StartPlan): Promise<string> {
    const env = Object.fromEntries(plan.process.env.map((entry) => entry.split(/=(.*)/s, 2)));
    mkdirSync(`${this.#writable}/${plan.id}`, { recursive: true });
    if (env.MOCK_START_DELAY) await this.#clock.sleep(Number(env.MOCK_START_DELAY));
    const code = env.MOCK_START_ERROR;
    if (code) {
      await this.release(plan.id);
      throw new BulkheadError(code in ERRORS ? (code as ErrorCode) : 'start_failed', `the task asked for ${code}`);
    }
    this.#runs.begin(plan, env, this.#clock.now());
    return JSON.stringify({ version: 1, id: plan.id });
  }

  async recover(id: string): Promise<RecoveredState> {
    const run = this.#runs.get(id);
    if (!run) return 'lost';
    return this.#runs.exitOf(run, this.#clock.now()) ? 'exited' : 'running';
  }

  async wait(id: string): Promise<Exit> {
    for (;;) {
      const run = this.#runs.get(id);
      if (!run) return { code: SIGKILL + 128, oomKilled: false, at: this.#clock.now() };
      const exit = this.#runs.exitOf(run, this.#clock.now());
      if (exit) return exit;
      const woken = new AbortController();
      this.#wakes.set(id, () => woken.abort());
      const left = run.runForMs === undefined ? 2 ** 30 : run.startedAt + run.runForMs - this.#clock.now();
      await this.#clock.sleep(left, woken.signal).catch(() => undefined);
    }
  }

  async signal(id: string, _handle: string, signal: number): Promise<void> {
    const run = this.#runs.get(id);
    if (!run) throw new BulkheadError('wrong_state', `mock ${id} is not running`);
    if (signal === SIGKILL || (signal === SIGTERM && !run.ignoresTerm)) {
      this.#runs.end(run, { code: 128 + signal, oomKilled: false, at: this.#clock.now() });
      this.#wakes.get(id)?.();
    }
  }

  async exec(_id: string, _handle: string, process: ProcessSpec): Promise<Session> {
    return mockSession(process);
  }

  async attach(id: string): Promise<Attachment> {
    const stdin = new PassThrough();
    stdin.on('data', (chunk: Buffer) => this.#runs.echo(id, chunk, this.#clock.now()));
    return { stdin, resize: () => undefined, close: () => stdin.destroy() };
  }

  async stats(_id: string): Promise<Stats> {
    const at = this.#clock.now();
    return {
      at,
      // Half a CPU, always.
      cpuNanoseconds: at * 500_000,
      memoryBytes: 1 << 20,
      memoryLimitBytes: 1 << 30,
      pids: 1,
      networkReceivedBytes: 0,
      networkSentBytes: 0,
      blockReadBytes: 0,
      blockWrittenBytes: 0,
    };
  }

  async update(): Promise<void> {}

  async readArchive(_plan: StartPlan, _handle: string | undefined, path: string): Promise<Readable> {
    return Readable.from([Buffer.from(`archive of ${path}`)]);
  }

  async writeArchive(_plan: StartPlan, _handle: string | undefined, _path: string, tar: Readable): Promise<void> {
    tar.resume();
    await new Promise((resolve) => tar.once('end', resolve));
  }

  async inspect(): Promise<Record<string, string>> {
    return { driver: 'mock' };
  }

  async release(id: string): Promise<void> {
    this.#runs.forget(id);
    this.#wakes.get(id)?.();
    this.#wakes.delete(id);
  }

  async destroy(id: string): Promise<void> {
    await this.release(id);
    rmSync(`${this.#writable}/${id}`, { recursive: true, force: true });
  }

  async leftovers(): Promise<string[]> {
    let written: string[] = [];
    try {
      written = readdirSync(this.#writable);
    } catch {
      // Nothing was ever started.
    }
    return [...new Set([...this.#runs.list(), ...written])];
  }
}

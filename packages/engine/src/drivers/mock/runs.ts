/** The mock's host: a JSON file per run, and the log it writes. */
import { appendFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { Exit, StartPlan } from '../../ports/driver.ts';

export interface MockRun {
  id: string;
  startedAt: number;
  /** Absent: until it is killed. */
  runForMs?: number;
  exitCode: number;
  oomKilled: boolean;
  ignoresTerm: boolean;
  logPath: string;
  ended?: Exit;
}

export class MockRuns {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true });
  }

  begin(plan: StartPlan, env: Record<string, string | undefined>, now: number): void {
    const run: MockRun = {
      id: plan.id,
      startedAt: now,
      ...(env.MOCK_RUN_FOR ? { runForMs: Number(env.MOCK_RUN_FOR) } : {}),
      exitCode: Number(env.MOCK_EXIT_CODE ?? 0),
      oomKilled: env.MOCK_OOM !== undefined,
      ignoresTerm: env.MOCK_IGNORE_TERM !== undefined,
      logPath: plan.logPath,
    };
    this.#write(run);
    if (env.MOCK_OUTPUT !== undefined) this.#log(run, 'stdout', env.MOCK_OUTPUT, now);
    if (env.MOCK_STDERR !== undefined) this.#log(run, 'stderr', env.MOCK_STDERR, now);
  }

  get(id: string): MockRun | undefined {
    try {
      return JSON.parse(readFileSync(`${this.#directory}/${id}.json`, 'utf8')) as MockRun;
    } catch {
      return undefined;
    }
  }

  exitOf(run: MockRun, now: number): Exit | undefined {
    if (run.ended) return run.ended;
    if (run.runForMs === undefined || now < run.startedAt + run.runForMs) return undefined;
    return { code: run.exitCode, oomKilled: run.oomKilled, at: run.startedAt + run.runForMs };
  }

  end(run: MockRun, exit: Exit): void {
    this.#write({ ...run, ended: run.ended ?? exit });
  }

  echo(id: string, chunk: Buffer, now: number): void {
    const run = this.get(id);
    if (run) this.#log(run, 'stdout', chunk.toString('utf8').replace(/\n$/, ''), now);
  }

  forget(id: string): void {
    rmSync(`${this.#directory}/${id}.json`, { force: true });
  }

  list(): string[] {
    return readdirSync(this.#directory).flatMap((name) => (name.endsWith('.json') ? [name.slice(0, -5)] : []));
  }

  #log(run: MockRun, stream: string, text: string, now: number): void {
    const stamp = new Date(now).toISOString().replace('Z', '000000+00:00');
    appendFileSync(
      run.logPath,
      text
        .split('\n')
        .map((line) => `${stamp} ${stream} F ${line}\n`)
        .join(''),
    );
  }

  /** Renamed into place: a kill in the middle leaves the old or the new, never half a file. */
  #write(run: MockRun): void {
    const path = `${this.#directory}/${run.id}.json`;
    writeFileSync(`${path}.new`, JSON.stringify(run));
    renameSync(`${path}.new`, path);
  }
}

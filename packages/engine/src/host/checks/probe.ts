/** What every check of the host is made of: a name, a time limit, a program that is never waited for longer. It judges nothing. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Check } from '../../ports/host.ts';

export interface Probe {
  name: string;
  /** What a failure or a hang of the probe means for the levels. */
  means: string;
  fix: string;
  limitMs: number;
  run(signal: AbortSignal): Promise<Omit<Check, 'name'>>;
}

export interface ProgramResult {
  /** -1 where it could not be started or was ended at its limit. */
  code: number;
  stdout: string;
  stderr: string;
  missing: boolean;
  timedOut: boolean;
}

/** Never rejects: a probe that throws or hangs is a failed check. */
export async function runProbe(probe: Probe): Promise<Check> {
  const { name, means, fix, limitMs } = probe;
  const limit = new AbortController();
  const hung = Promise.withResolvers<Check>();
  const timer = setTimeout(() => {
    limit.abort();
    hung.resolve({ name, status: 'failed', found: `no answer within ${limitMs / 1000} s`, means, fix });
  }, limitMs);
  try {
    const answer = probe.run(limit.signal).then(
      (found): Check => ({ name, ...found }),
      (error: unknown): Check => ({ name, status: 'failed', found: firstLine(String(error)), means, fix }),
    );
    return await Promise.race([answer, hung.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Runs a program in a process group of its own and ends the whole group at the signal. */
export function program(
  file: string,
  args: string[],
  options: { signal?: AbortSignal; input?: string } = {},
): Promise<ProgramResult> {
  return new Promise((resolve) => {
    const child = spawn(file, args, { stdio: 'pipe', detached: true });
    const result: ProgramResult = { code: -1, stdout: '', stderr: '', missing: false, timedOut: false };
    const stop = () => {
      result.timedOut = true;
      endGroup(child);
      // Whatever still holds the pipes is not waited for.
      child.stdout.destroy();
      child.stderr.destroy();
    };
    const done = () => {
      options.signal?.removeEventListener('abort', stop);
      resolve(result);
    };
    options.signal?.addEventListener('abort', stop);
    if (options.signal?.aborted) stop();
    child.stdout.on('data', (chunk: Buffer) => {
      if (result.stdout.length < 65_536) result.stdout += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      if (result.stderr.length < 65_536) result.stderr += chunk.toString();
    });
    child.stdin.on('error', () => {}); // It may end before it has read everything.
    child.on('error', (error: NodeJS.ErrnoException) => {
      result.missing = error.code === 'ENOENT';
      result.stderr ||= error.message;
      done();
    });
    child.on('close', (code) => {
      result.code = result.timedOut ? -1 : (code ?? -1);
      done();
    });
    child.stdin.end(options.input ?? '');
  });
}

export function endGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}

/** Gives `body` a new directory below `parent` and removes it, whatever happens. */
export async function inDirectory<T>(parent: string, body: (directory: string) => Promise<T>): Promise<T> {
  mkdirSync(parent, { recursive: true, mode: 0o711 });
  const directory = mkdtempSync(path.join(parent, 'doctor-'));
  try {
    return await body(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** What a program said when it failed, in one line. */
export function words(result: ProgramResult): string {
  if (result.missing) return 'not installed';
  if (result.timedOut) return 'it did not end in time';
  return firstLine(result.stderr) || firstLine(result.stdout) || `exit code ${result.code}`;
}

export function firstLine(text: string): string {
  const line = text.split('\n').find((candidate) => candidate.trim() !== '') ?? '';
  return line.trim().slice(0, 240);
}

/** Starts the engine: detached with its output in a log file, or in the foreground. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, openSync, readFileSync, realpathSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { BulkheadError } from '@bulkhead/contract/errors';
import { Client, DEFAULT_SOCKET, socketPath } from '@bulkhead/sdk';
import { escapeControl } from './terminal.ts';

const DEFAULT_DATA = '/var/lib/bulkhead';
const DEFAULT_RUN = '/run/bulkhead';
/** The engine makes little garbage: large nurseries would only be memory that every host pays for. */
const NODE_FLAGS = ['--no-warnings', '--max-semi-space-size=2', '--optimize-for-size'];
const START_TIMEOUT_MS = 60_000;
const POLL_MS = 20;
const LOG_TAIL_LINES = 15;
const ENGINE = fileURLToPath(new URL('../../engine/src/main.ts', import.meta.url));

export interface Places {
  data?: string | undefined;
  run?: string | undefined;
  policy?: string | undefined;
  host: string;
}

interface Resolved {
  socket: string;
  args: string[];
  log: string;
}

/** The engine computes the same names from its data directory. */
function resolvePlaces(places: Places): Resolved {
  const data = resolve(places.data ?? DEFAULT_DATA);
  try {
    mkdirSync(data, { recursive: true, mode: 0o711 });
  } catch (cause) {
    throw new BulkheadError('read_only', `cannot make the data directory ${data}: ${(cause as Error).message}`, {
      cause,
    });
  }
  const asked = places.host === '' ? undefined : socketPath(places.host);
  const tag = createHash('sha256').update(realpathSync(data)).digest('hex').slice(0, 6);
  const byData = data === DEFAULT_DATA ? DEFAULT_RUN : `${DEFAULT_RUN}-${tag}`;
  const byHost = asked?.endsWith('/api.sock') && places.data === undefined ? dirname(asked) : undefined;
  const run = places.run === undefined ? (byHost ?? byData) : resolve(places.run);
  return {
    socket: `${run}/api.sock`,
    log: `${data}/engine.log`,
    args: [
      ENGINE,
      '--data',
      data,
      '--run',
      run,
      ...(places.policy === undefined ? [] : ['--policy', resolve(places.policy)]),
    ],
  };
}

async function answers(socket: string): Promise<boolean> {
  try {
    await new Client(socket).ping({ signal: AbortSignal.timeout(2000) });
    return true;
  } catch (error) {
    if (error instanceof BulkheadError && error.code === 'engine_unreachable') return false;
    throw error;
  }
}

export async function startDaemon(places: Places): Promise<number> {
  const { socket, args, log } = resolvePlaces(places);
  if (await answers(socket)) {
    process.stdout.write(`The engine is up already: ${socket}\n`);
    return 0;
  }
  const output = openSync(log, 'a', 0o640);
  const child = spawn(process.execPath, [...NODE_FLAGS, ...args], {
    detached: true,
    stdio: ['ignore', output, output],
    cwd: '/',
  });
  let ended: string | undefined;
  child.once('exit', (code, signal) => {
    ended = signal ?? `exit code ${code}`;
  });
  child.once('error', (error) => {
    ended = error.message;
  });
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await answers(socket))) {
    if (ended !== undefined || Date.now() > deadline) {
      const why =
        ended === undefined ? `does not answer after ${START_TIMEOUT_MS / 1000} s` : `ended at once (${ended})`;
      const code = ended === undefined ? 'timeout' : 'start_failed';
      throw new BulkheadError(code, `the engine ${why}; the end of ${log}:\n${logTail(log)}`, { hint: `Read ${log}.` });
    }
    await sleep(POLL_MS);
  }
  child.unref();
  process.stdout.write(`The engine is up: ${socket} (pid ${child.pid}, log ${log})\n`);
  if (socket !== DEFAULT_SOCKET && socketPath(places.host) !== socket)
    process.stdout.write(`To use it: export BULKHEAD_HOST=unix://${socket}\n`);
  return 0;
}

function logTail(log: string): string {
  try {
    const lines = readFileSync(log, 'utf8').trimEnd().split('\n').slice(-LOG_TAIL_LINES);
    return lines.map((line) => `  ${escapeControl(line)}`).join('\n');
  } catch {
    return '  (there is no log)';
  }
}

/** The engine's exit code. */
export async function runForeground(places: Places): Promise<number> {
  const { socket, args } = resolvePlaces(places);
  if (await answers(socket)) {
    process.stdout.write(`The engine is up already: ${socket}\n`);
    return 0;
  }
  const child = spawn(process.execPath, [...NODE_FLAGS, ...args, '--foreground'], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('exit', (code, signal) => done(signal ? 128 + constants.signals[signal] : (code ?? 125)));
  });
}

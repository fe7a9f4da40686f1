/** Joins a session to this process's own streams and terminal until it ends or the user detaches. */
import type { Readable, Writable } from 'node:stream';
import { BulkheadError } from '@bulkhead/contract/errors';
import type { Session } from '@bulkhead/sdk';
import { DEFAULT_DETACH_KEYS, DetachKeys, parseDetachKeys } from './detach-keys.ts';
import type { Values } from './flags.ts';
import type { SignalForwarder } from './signals.ts';

export interface Conversation {
  tty: boolean;
  stdin: boolean;
  detachKeys: Buffer;
  /** Those not wanted are read and dropped; both where absent. */
  outputs?: { stdout: boolean; stderr: boolean };
  signals?: SignalForwarder;
}

export function detachKeysOf(flags: Values): Buffer {
  return parseDetachKeys(flags.text('detach-keys') ?? DEFAULT_DETACH_KEYS);
}

/** Docker refuses this too: a program that draws on a terminal cannot be fed from a pipe. */
export function requireTerminal(wanted: { tty: boolean; stdin: boolean }): void {
  if (wanted.tty && wanted.stdin && !process.stdin.isTTY)
    throw new BulkheadError('not_a_terminal', 'the input device is not a TTY');
}

export function terminalSize(): { columns: number; rows: number } | undefined {
  const { stdout, stdin, stderr } = process;
  for (const stream of [stdout, stdin, stderr] as NodeJS.WriteStream[])
    if (stream.isTTY && stream.columns > 0) return { columns: stream.columns, rows: stream.rows };
  return undefined;
}

/** The exit code of the process; 0 after detaching. */
export async function converse(session: Session, how: Conversation): Promise<number> {
  how.signals?.passTo((name) => session.signal(name));
  const { stdout = true, stderr = true } = how.outputs ?? {};
  const output = [
    stdout ? drain(session.stdout, process.stdout) : session.stdout.resume(),
    stderr ? drain(session.stderr, process.stderr) : session.stderr.resume(),
  ];
  if (how.tty) followSize(session);
  let detached: Promise<number> | undefined;
  if (how.stdin) {
    if (how.tty && process.stdin.isTTY) detached = typeInto(session, how.detachKeys);
    else {
      process.stdin.on('error', () => session.stdin.end());
      process.stdin.pipe(session.stdin);
    }
  }
  const ended = (async () => {
    try {
      const code = await session.exit;
      await Promise.all(output);
      return code;
    } finally {
      if (how.tty && process.stdin.isTTY) process.stdin.setRawMode(false);
    }
  })();
  return detached ? Promise.race([ended, detached]) : ended;
}

function drain(from: Readable, to: Writable): Promise<void> {
  return new Promise((resolve) => {
    from.once('end', resolve);
    from.pipe(to, { end: false });
  });
}

function followSize(session: Session): void {
  const tell = (): void => {
    const size = terminalSize();
    if (size) session.resize(size.columns, size.rows);
  };
  tell();
  process.stdout.on('resize', tell);
  if (!process.stdout.isTTY) process.on('SIGWINCH', tell);
}

/** Resolves with 0 when the user detaches. */
function typeInto(session: Session, keys: Buffer): Promise<number> {
  const filter = new DetachKeys(keys);
  const { stdin } = process;
  stdin.setRawMode(true);
  // Node's raw mode still turns \n into \r\n, which the task's own terminal has done already. Undone with the raw mode.
  process
    .getBuiltinModule('node:child_process')
    .spawnSync('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'] });
  return new Promise((resolve) => {
    stdin.on('data', (chunk: Buffer) => {
      const { pass, detached } = filter.feed(chunk);
      if (pass.length > 0 && !session.stdin.write(pass)) {
        stdin.pause();
        session.stdin.once('drain', () => stdin.resume());
      }
      if (!detached) return;
      stdin.setRawMode(false);
      stdin.pause();
      session.close();
      resolve(0);
    });
    stdin.once('end', () => session.stdin.end());
  });
}

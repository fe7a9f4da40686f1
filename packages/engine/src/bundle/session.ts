/** A process inside a running instance, started by the runtime's `exec`: pipes, or a terminal by node-pty. */
import { spawn } from 'node:child_process';
import { PassThrough, Readable, Writable } from 'node:stream';
import type { Session } from '../ports/driver.ts';

export interface ExecCommand {
  command: string;
  args: string[];
  tty: boolean;
  stdin: boolean;
  /** Runs when the process has ended: clears up after it. */
  done: () => void | Promise<void>;
}

const SIGNAL_BASE = 128;
const SIGKILL = 9;

export function pipeSession({ command, args, stdin, done }: ExecCommand): Session {
  const child = spawn(command, args, { stdio: [stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'] });
  const exit = new Promise<number>((resolve) => {
    child.on('error', () => resolve(126));
    child.on('close', (code) => resolve(code ?? SIGNAL_BASE + SIGKILL));
  }).finally(done);
  child.stdin?.on('error', () => {});
  return {
    stdin: child.stdin ?? new Writable({ write: (_chunk, _encoding, callback) => callback() }),
    stdout: child.stdout ?? Readable.from([]),
    stderr: child.stderr ?? Readable.from([]),
    resize: () => {},
    close: () => {
      child.stdin?.destroy();
      child.stdout?.destroy();
      child.stderr?.destroy();
      child.kill('SIGKILL');
    },
    exit,
  };
}

/** Node cannot receive the terminal's descriptor over a socket, so the runtime runs under a terminal of ours. */
export async function terminalSession({ command, args, done }: ExecCommand): Promise<Session> {
  const { spawn: spawnTerminal } = await import('@lydell/node-pty');
  const terminal = spawnTerminal(command, args, { name: 'xterm', cols: 80, rows: 24, encoding: null });
  const stdout = new PassThrough();
  terminal.onData((data) => {
    if (!stdout.write(data)) terminal.pause();
  });
  stdout.on('drain', () => terminal.resume());
  const exit = new Promise<number>((resolve) => {
    terminal.onExit(({ exitCode, signal }) => {
      stdout.end();
      resolve(signal ? SIGNAL_BASE + signal : exitCode);
    });
  }).finally(done);
  const stderr = new PassThrough();
  stderr.end();
  return {
    stdin: new Writable({
      write: (chunk: Buffer, _encoding, callback) => {
        terminal.write(chunk as unknown as string);
        callback();
      },
      final: (callback) => {
        terminal.write('\x04');
        callback();
      },
    }),
    stdout,
    stderr,
    resize: (columns, rows) => {
      if (columns > 0 && rows > 0) terminal.resize(columns, rows);
    },
    close: () => terminal.kill('SIGKILL'),
    exit,
  };
}

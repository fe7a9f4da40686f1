/** The writing end of a task's standard input: a FIFO for pipes, conmon's attach socket for a terminal. */
import { spawn } from 'node:child_process';
import { constants, existsSync, openSync, readFileSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { Writable } from 'node:stream';
import { BulkheadError } from '@bulkhead/contract';

/** How long conmon may take to make its socket. */
const SOCKET_LIMIT_MS = 1_000;
const SOCKET_POLL_MS = 10;
/** conmon's own buffer is 8 KiB; a larger packet would be cut. */
const PACKET_BYTES = '8192';

/** Never blocks: a task that has closed its input takes what comes as a closed pipe does. */
export function openFifo(fifo: string): Writable {
  let descriptor: number;
  try {
    descriptor = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error;
    return new Writable({ write: (_chunk, _encoding, callback) => callback() });
  }
  const input = new Socket({ fd: descriptor, readable: false, writable: true });
  input.on('error', () => input.destroy());
  // The end of what the client sent is the end of the task's input; a client that only goes away is not.
  input.on('finish', () => endKeeper(fifo));
  return input;
}

/** The socket is SOCK_SEQPACKET, which Node lacks and socat has. Nothing is read back: output is in the log. */
export async function openTerminal(socket: string, name: string): Promise<Writable> {
  for (let waitedMs = 0; !existsSync(socket) && waitedMs < SOCKET_LIMIT_MS; waitedMs += SOCKET_POLL_MS)
    await new Promise((resolve) => setTimeout(resolve, SOCKET_POLL_MS));
  if (!existsSync(socket))
    throw new BulkheadError('wrong_state', `${name} has no input: it has ended, or was started without -i`);
  // An empty packet says end of file.
  const child = spawn('socat', ['-u', '-b', PACKET_BYTES, 'STDIN', `UNIX-CONNECT:${socket},type=5,shut-null`], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.on('error', () => child.stdin.destroy());
  child.stdin.on('error', () => child.stdin.destroy());
  return child.stdin;
}

/** Ends the process that keeps a FIFO open. Its pid is checked: numbers are reused. */
export function endKeeper(fifo: string): void {
  try {
    const pid = Number(readFileSync(`${fifo}.keeper`, 'utf8'));
    if (pid > 0 && readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('sleep\0infinity'))
      process.kill(pid, 'SIGKILL');
  } catch {
    // There is none, or it is gone.
  }
  rmSync(`${fifo}.keeper`, { force: true });
}

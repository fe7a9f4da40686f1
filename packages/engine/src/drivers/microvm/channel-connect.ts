/** Brings a control socket to the point where both sides agree on frame borders, whatever an earlier engine left on the line. */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { BulkheadError } from '@bulkhead/contract';
import { encodeFrame, HEADER_BYTES, HelloScanner, MAX_PAYLOAD_BYTES, NONCE_BYTES, ToGuest } from './channel-frame.ts';

export interface ConnectOptions {
  timeoutMs: number;
  /** True for the first connection to a new guest: nothing can be left on the line, so the padding is saved. */
  fresh?: boolean;
}

export interface Greeted {
  socket: Socket;
  /** From the hello's header on; the socket is paused. */
  received: Buffer;
}

const RETRY_MS = 10;
const HELLO_AGAIN_MS = 2000;

/** Retries until the agent answers. Throws BulkheadError `timeout`. */
export async function greet(socketPath: string, options: ConnectOptions): Promise<Greeted> {
  const deadline = performance.now() + options.timeoutMs;
  let reason = 'no answer';
  let padded = options.fresh === true;
  while (performance.now() < deadline) {
    const socket = await open(socketPath).catch((error: Error) => {
      reason = error.message;
    });
    if (socket) {
      const received = await hello(socket, { padded, remainingMs: deadline - performance.now() });
      if (received) return { socket, received };
      reason = 'the connection ended before the agent answered';
      padded = false;
      socket.destroy();
    }
    await sleep(RETRY_MS);
  }
  throw new BulkheadError('timeout', `The guest's agent did not answer within ${options.timeoutMs} ms: ${reason}`);
}

function open(socketPath: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      socket.on('error', () => undefined);
      resolve(socket);
    });
  });
}

function hello(
  socket: Socket,
  { padded, remainingMs }: { padded: boolean; remainingMs: number },
): Promise<Buffer | undefined> {
  const nonce = randomBytes(NONCE_BYTES);
  const frame = encodeFrame(ToGuest.hello, 0, nonce);
  const scanner = new HelloScanner(nonce);
  return new Promise((resolve) => {
    const finish = (received: Buffer | undefined) => {
      clearTimeout(limit);
      clearInterval(again);
      socket.off('data', onData);
      socket.off('close', onClose);
      socket.pause();
      resolve(received);
    };
    const onData = (chunk: Buffer) => {
      const received = scanner.push(chunk);
      if (received) finish(received);
    };
    const onClose = () => finish(undefined);
    const limit = setTimeout(onClose, Math.max(1, remainingMs));
    const again = setInterval(() => socket.write(frame), HELLO_AGAIN_MS);
    socket.on('data', onData);
    socket.on('close', onClose);
    if (!padded) socket.write(Buffer.alloc(HEADER_BYTES + MAX_PAYLOAD_BYTES));
    socket.write(frame);
  });
}

/** The JSON body of a request that asks for an upgrade: Node hands the connection over with the body still on it. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { BulkheadError } from '@bulkhead/contract';
import { bodyTooLarge, MAX_BODY_BYTES, parseBody } from './json-body.ts';

const BODY_LIMIT_MS = 30_000;

/** `rest` is what follows the body: the first frames. The socket is left paused. */
export async function readUpgradeBody(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<{ body: unknown; rest: Buffer }> {
  const length = Number(request.headers['content-length']);
  if (!Number.isInteger(length) || length <= 0)
    throw new BulkheadError('invalid_request', 'this upgrade needs a JSON body and its content-length');
  if (length > MAX_BODY_BYTES) throw bodyTooLarge();
  const received = await atLeast(socket, head, length);
  return { body: parseBody(received.toString('utf8', 0, length)), rest: received.subarray(length) };
}

async function atLeast(socket: Duplex, head: Buffer, bytes: number): Promise<Buffer> {
  if (head.length >= bytes) return head;
  const chunks = [head];
  let missing = bytes - head.length;
  const complete = Promise.withResolvers<void>();
  const take = (chunk: Buffer): void => {
    chunks.push(chunk);
    missing -= chunk.length;
    if (missing > 0) return;
    socket.pause();
    complete.resolve();
  };
  const cut = (): void => complete.reject(new BulkheadError('invalid_request', 'the body ended too early'));
  const timer = setTimeout(cut, BODY_LIMIT_MS);
  socket.on('data', take).once('end', cut).once('close', cut);
  try {
    await complete.promise;
  } finally {
    clearTimeout(timer);
    socket.off('data', take).off('end', cut).off('close', cut);
  }
  return Buffer.concat(chunks);
}

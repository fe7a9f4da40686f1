/** An upgraded connection as frames, with backpressure both ways. */
import type { Duplex, Readable } from 'node:stream';
import { encodeFrame, FRAME, FrameDecoder, type FrameType, MAX_FRAME_BYTES } from '@bulkhead/contract';

export class FrameSocket {
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
  readonly #socket: Duplex;
  #isClosed = false;
  #drained: PromiseWithResolvers<void> | undefined;

  constructor(socket: Duplex) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => {
      const close = () => {
        this.#isClosed = true;
        this.#drained?.resolve();
        resolve();
      };
      socket.once('close', close);
      // HTTP sockets stay half open: a client that ends its side is gone.
      socket.once('end', () => {
        close();
        socket.destroy();
      });
      socket.on('error', close);
    });
    socket.on('drain', () => {
      this.#drained?.resolve();
      this.#drained = undefined;
    });
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Resolves when the socket takes more. */
  async send(type: FrameType, payload: Uint8Array): Promise<void> {
    for (let at = 0; at < payload.length && !this.#isClosed; at += MAX_FRAME_BYTES) {
      const part = payload.subarray(at, at + MAX_FRAME_BYTES);
      if (this.#socket.write(encodeFrame(type, part))) continue;
      this.#drained ??= Promise.withResolvers();
      await this.#drained.promise;
    }
  }

  async sendAll(type: FrameType, source: Readable): Promise<void> {
    try {
      for await (const chunk of source) {
        if (this.#isClosed) return;
        await this.send(type, chunk as Buffer);
      }
    } catch {
      // The stream broke with its process: the exit frame tells what there is to tell.
    }
  }

  /** Feeds frames to `onFrame`; while it works on one, no more are read. */
  receive(head: Buffer, onFrame: (type: number, payload: Buffer) => Promise<void> | void): void {
    const decoder = new FrameDecoder();
    let work: Promise<void> = Promise.resolve();
    const take = (chunk: Buffer) => {
      this.#socket.pause();
      work = work
        .then(async () => {
          for (const { type, payload } of decoder.feed(chunk)) await onFrame(type, payload);
          if (!this.#isClosed) this.#socket.resume();
        })
        .catch(() => {
          // A frame beyond all bounds: this client cannot be understood.
          this.#socket.destroy();
        });
    };
    if (head.length > 0) take(head);
    this.#socket.on('data', take);
  }

  exit(code: number): void {
    const payload = Buffer.alloc(4);
    payload.writeInt32BE(code);
    this.#finish(FRAME.exit, payload);
  }

  fail(body: unknown): void {
    this.#finish(FRAME.error, Buffer.from(JSON.stringify(body)));
  }

  #finish(type: FrameType, payload: Buffer): void {
    if (!this.#isClosed) this.#socket.end(encodeFrame(type, payload));
  }
}

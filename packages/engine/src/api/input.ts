/** Frames from a client to a process: input, end of input, terminal size, signals. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { FRAME } from '@bulkhead/contract';

export interface InputTarget {
  stdin: () => Promise<Writable | undefined>;
  resize: (columns: number, rows: number) => Promise<unknown> | unknown;
  signal: (name: string) => Promise<unknown> | unknown;
}

const MAX_SIGNAL_BYTES = 16;

export function input(target: InputTarget): (type: number, payload: Buffer) => Promise<void> {
  let broken = false;
  let prepared: Writable | undefined;
  const open = async (): Promise<Writable | undefined> => {
    if (prepared) return prepared;
    prepared = await target.stdin();
    // A process that closes its input is no error.
    prepared?.on('error', () => {
      broken = true;
    });
    prepared?.on('close', () => {
      broken = true;
    });
    return prepared;
  };
  return async (type, payload) => {
    switch (type) {
      case FRAME.stdin: {
        const stdin = await open();
        if (!stdin || broken || stdin.writableEnded) return;
        if (!stdin.write(payload)) {
          const quiet = new AbortController();
          const { signal } = quiet;
          await Promise.race([once(stdin, 'drain', { signal }), once(stdin, 'close', { signal })]).catch(
            () => undefined,
          );
          quiet.abort();
        }
        return;
      }
      case FRAME.stdinEnd:
        (await open())?.end();
        return;
      case FRAME.resize:
        if (payload.length === 4) await quietly(() => target.resize(payload.readUInt16BE(0), payload.readUInt16BE(2)));
        return;
      case FRAME.signal:
        if (payload.length <= MAX_SIGNAL_BYTES) await quietly(() => target.signal(payload.toString('utf8')));
        return;
      default:
        // A newer client may know more: what we do not know we do not do.
        return;
    }
  };
}

/** A process that is already gone takes neither a signal nor a size. */
async function quietly(body: () => Promise<unknown> | unknown): Promise<void> {
  try {
    await body();
  } catch {
    return;
  }
}

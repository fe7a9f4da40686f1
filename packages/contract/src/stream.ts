/** The framing of an upgraded connection (`Upgrade: bulkhead-stream`): type u8, length u32 big-endian, payload. Pure. */

export const FRAME = { stdin: 0, stdout: 1, stderr: 2, stdinEnd: 3, resize: 4, exit: 5, error: 6, signal: 7 } as const;
export type FrameType = (typeof FRAME)[keyof typeof FRAME];

/** Longest payload either side accepts. */
export const MAX_FRAME_BYTES = 1 << 20;

export function encodeFrame(type: FrameType, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const frame = Buffer.allocUnsafe(5 + payload.length);
  frame.writeUInt8(type, 0);
  frame.writeUInt32BE(payload.length, 1);
  frame.set(payload, 5);
  return frame;
}

/** Feeds on chunks of any size, gives whole frames. Throws on a length beyond {@link MAX_FRAME_BYTES}. */
export class FrameDecoder {
  #pending: Buffer = Buffer.alloc(0);

  *feed(chunk: Buffer): Generator<{ type: number; payload: Buffer }> {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    let at = 0;
    while (this.#pending.length - at >= 5) {
      const length = this.#pending.readUInt32BE(at + 1);
      if (length > MAX_FRAME_BYTES) throw new Error(`frame of ${length} bytes is longer than ${MAX_FRAME_BYTES}`);
      if (this.#pending.length - at < 5 + length) break;
      yield { type: this.#pending.readUInt8(at), payload: this.#pending.subarray(at + 5, at + 5 + length) };
      at += 5 + length;
    }
    this.#pending = this.#pending.subarray(at);
  }
}

/** Payload of a resize frame: columns u16, rows u16. */
export function encodeResize(columns: number, rows: number): Buffer {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt16BE(columns, 0);
  payload.writeUInt16BE(rows, 2);
  return encodeFrame(FRAME.resize, payload);
}

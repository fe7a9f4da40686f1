/** Frames of the guest protocol (guest/PROTOCOL.md): encoding, and a decoder that refuses whatever does not fit. */

export const MAGIC = 0x4842;
export const PROTOCOL_VERSION = 1;
export const HEADER_BYTES = 12;
/** Largest payload, end mark included. */
export const MAX_PAYLOAD_BYTES = 65_536;
/** Largest body of one frame: the payload without its end mark. */
export const MAX_BODY_BYTES = MAX_PAYLOAD_BYTES - 1;
/** Last byte of every payload: a frame that was cut off and filled up by the padding of a reconnect ends in zero. */
export const END_MARK = 0x45;
export const NONCE_BYTES = 16;

/** Host to guest. */
export const ToGuest = {
  hello: 0x01,
  part: 0x02,
  configure: 0x03,
  start: 0x04,
  exec: 0x05,
  stdin: 0x06,
  stdinEnd: 0x07,
  resize: 0x08,
  signal: 0x09,
  stats: 0x0a,
  clock: 0x0b,
  powerOff: 0x0c,
  window: 0x0d,
  hangUp: 0x0e,
} as const;

/** Guest to host. */
export const ToHost = {
  hello: 0x81,
  ok: 0x82,
  error: 0x83,
  stdout: 0x84,
  stderr: 0x85,
  exit: 0x86,
  window: 0x87,
} as const;

export interface Frame {
  type: number;
  /** 0 is the task; others are chosen by the host, one per request. */
  stream: number;
  /** Without the end mark. */
  body: Buffer;
}

/** The peer broke the protocol; the channel cannot go on. */
export class ProtocolViolation extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ProtocolViolation';
  }
}

export function encodeFrame(type: number, stream: number, body: Uint8Array = new Uint8Array(0)): Buffer {
  if (body.length > MAX_BODY_BYTES) throw new RangeError(`a frame body of ${body.length} bytes is too long`);
  const frame = Buffer.allocUnsafe(HEADER_BYTES + body.length + 1);
  frame.writeUInt16LE(MAGIC, 0);
  frame[2] = PROTOCOL_VERSION;
  frame[3] = type;
  frame.writeUInt32LE(stream, 4);
  frame.writeUInt32LE(body.length + 1, 8);
  frame.set(body, HEADER_BYTES);
  frame[frame.length - 1] = END_MARK;
  return frame;
}

/** A request of any length: `part` frames, then one of `type` that completes it. */
export function encodeRequest(type: number, stream: number, body: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  let offset = 0;
  for (; body.length - offset > MAX_BODY_BYTES; offset += MAX_BODY_BYTES)
    frames.push(encodeFrame(ToGuest.part, stream, body.subarray(offset, offset + MAX_BODY_BYTES)));
  frames.push(encodeFrame(type, stream, body.subarray(offset)));
  return frames;
}

/** Splits bytes of the guest into frames; keeps at most one frame of memory. Throws ProtocolViolation. */
export class FrameDecoder {
  #pending: Buffer = Buffer.alloc(0);

  *push(chunk: Buffer): Generator<Frame, void> {
    let rest = this.#pending.length > 0 ? Buffer.concat([this.#pending, chunk]) : chunk;
    this.#pending = Buffer.alloc(0);
    while (rest.length >= HEADER_BYTES) {
      const payloadBytes = checkHeader(rest);
      if (rest.length < HEADER_BYTES + payloadBytes) break;
      const end = HEADER_BYTES + payloadBytes;
      if (rest[end - 1] !== END_MARK) throw new ProtocolViolation('a frame has no end mark');
      yield { type: rest[3]!, stream: rest.readUInt32LE(4), body: rest.subarray(HEADER_BYTES, end - 1) };
      rest = rest.subarray(end);
    }
    this.#pending = Buffer.from(rest);
  }
}

/** Finds the answer to one hello in whatever an earlier connection left on the line. */
export class HelloScanner {
  #seen: Buffer = Buffer.alloc(0);
  readonly #nonce: Buffer;

  constructor(nonce: Buffer) {
    this.#nonce = nonce;
  }

  /** The bytes from the answer's header on, or undefined while it has not come. */
  push(chunk: Buffer): Buffer | undefined {
    const bytes = Buffer.concat([this.#seen, chunk]);
    for (let at = bytes.indexOf(this.#nonce); at >= 0; at = bytes.indexOf(this.#nonce, at + 1)) {
      const start = at - HEADER_BYTES;
      if (start < 0 || bytes.readUInt16LE(start) !== MAGIC || bytes[start + 3] !== ToHost.hello) continue;
      this.#seen = Buffer.alloc(0);
      return bytes.subarray(start);
    }
    this.#seen = Buffer.from(bytes.subarray(Math.max(0, bytes.length - HEADER_BYTES - NONCE_BYTES)));
    return undefined;
  }
}

function checkHeader(bytes: Buffer): number {
  if (bytes.readUInt16LE(0) !== MAGIC) throw new ProtocolViolation('a frame does not begin with the magic number');
  if (bytes[2] !== PROTOCOL_VERSION) throw new ProtocolViolation(`the guest speaks protocol version ${bytes[2]}`);
  const type = bytes[3]!;
  if (type < ToHost.hello || type > ToHost.window)
    throw new ProtocolViolation(`frame type 0x${type.toString(16)} is unknown`);
  const length = bytes.readUInt32LE(8);
  if (length < 1 || length > MAX_PAYLOAD_BYTES) throw new ProtocolViolation(`a frame claims ${length} bytes`);
  return length;
}

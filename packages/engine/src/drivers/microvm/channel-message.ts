/** Bodies of the guest protocol's messages: what the host writes, and a reader that takes no length on trust. */
import { BulkheadError, type ErrorCode } from '@bulkhead/contract';
import { NONCE_BYTES, ProtocolViolation } from './channel-frame.ts';
import { capabilityMask, resourceNumber } from './channel-linux.ts';
import type { GuestConfig, GuestHello, GuestProcess } from './channel-types.ts';

/** Longest text of the guest that is read at all. */
const MAX_TEXT_BYTES = 4096;
/** Largest request the guest accepts. */
export const MAX_REQUEST_BYTES = 4 * 1024 * 1024;

class MessageWriter {
  readonly #parts: Buffer[] = [];

  u8(value: number): this {
    this.#parts.push(Buffer.from([value & 0xff]));
    return this;
  }
  u16(value: number): this {
    const part = Buffer.allocUnsafe(2);
    part.writeUInt16LE(value);
    this.#parts.push(part);
    return this;
  }
  u32(value: number): this {
    const part = Buffer.allocUnsafe(4);
    part.writeUInt32LE(value);
    this.#parts.push(part);
    return this;
  }
  u64(value: number | bigint): this {
    const part = Buffer.allocUnsafe(8);
    part.writeBigUInt64LE(typeof value === 'bigint' ? value : BigInt(Math.max(0, Math.round(value))));
    this.#parts.push(part);
    return this;
  }
  text(value: string | Buffer): this {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    this.u32(bytes.length);
    this.#parts.push(bytes);
    return this;
  }
  list<T>(items: readonly T[], write: (item: T) => void): this {
    this.u32(items.length);
    for (const item of items) write(item);
    return this;
  }
  finish(): Buffer {
    const body = Buffer.concat(this.#parts);
    if (body.length > MAX_REQUEST_BYTES)
      throw new BulkheadError('too_large', `The request to the guest has ${body.length} bytes`, {
        hint: 'Arguments and environment together may have 4 MiB.',
      });
    return body;
  }
}

export class MessageReader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  take(length: number): Buffer {
    if (length > this.#bytes.length - this.#offset) throw new ProtocolViolation('a message ends too early');
    const part = this.#bytes.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    return part;
  }
  u8(): number {
    return this.take(1)[0]!;
  }
  u16(): number {
    return this.take(2).readUInt16LE();
  }
  u32(): number {
    return this.take(4).readUInt32LE();
  }
  /** Bounded to what a number holds exactly. */
  u64(): number {
    const value = this.take(8).readBigUInt64LE();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new ProtocolViolation(`a number is too large: ${value}`);
    return Number(value);
  }
  /** Without control characters: it may reach a log or a terminal. */
  text(): string {
    const length = this.u32();
    if (length > MAX_TEXT_BYTES) throw new ProtocolViolation(`a text claims ${length} bytes`);
    return this.take(length)
      .toString('utf8')
      .replace(/\p{Cc}/gu, '?');
  }
  end(): void {
    if (this.#offset !== this.#bytes.length) throw new ProtocolViolation('a message is too long');
  }
}

export function encodeConfig(config: GuestConfig): Buffer {
  const out = new MessageWriter();
  out.text(config.hostname).text(config.domainname ?? '');
  out.list(config.layers, (layer) => out.text(layer.device).text(layer.fsType));
  if ('tmpfs' in config.upper)
    out
      .u8(0)
      .text('')
      .u64(config.upper.sizeBytes ?? 0);
  else out.u8(1).text(config.upper.device).u64(0);
  out.u8(config.readOnlyRoot ? 1 : 0);
  out.list(config.mounts, (mount) =>
    out
      .u8(mount.kind === '9p' ? 1 : 0)
      .text(mount.source)
      .text(mount.target)
      .text(mount.fsType)
      .text(mount.subpath ?? '')
      .u8(mount.readOnly ? 1 : 0),
  );
  out.list(config.tmpfs, (tmpfs) =>
    out
      .text(tmpfs.target)
      .u64(tmpfs.sizeBytes ?? 0)
      .u32(tmpfs.mode ?? 0o1777),
  );
  out.u64(config.shmSizeBytes);
  const network = config.network;
  out.u8(network ? 1 : 0);
  if (network) out.text(network.interfaceName).text(network.ip).u8(network.prefixLength).text(network.gateway);
  out.text(config.hostsFile).text(config.resolvConf);
  out.list(Object.entries(config.sysctls), ([key, value]) => out.text(key).text(value));
  out.u64(config.unixTimeMs).text(config.entropy);
  return out.finish();
}

export function encodeProcess(process: GuestProcess): Buffer {
  const out = new MessageWriter();
  const text = (value: string) => {
    if (value.includes('\0')) throw new BulkheadError('invalid_request', 'An argument or variable holds a zero byte');
    out.text(value);
  };
  out.list(process.args, text).list(process.env, text);
  text(process.cwd);
  text(process.user);
  out.list(process.groupAdd, text);
  out.u8((process.tty ? 1 : 0) | (process.stdin ? 2 : 0) | (process.noNewPrivileges ? 4 : 0) | (process.init ? 8 : 0));
  out.u64(capabilityMask(process.capabilities));
  out.list(process.ulimits, (limit) =>
    out.u8(resourceNumber(limit.name)).u64(rlimit(limit.soft)).u64(rlimit(limit.hard)),
  );
  out.u32(process.pidsLimit && process.pidsLimit > 0 ? process.pidsLimit : 0);
  out.u16(process.terminalSize?.columns ?? 80).u16(process.terminalSize?.rows ?? 24);
  return out.finish();
}

/** Negative and infinite mean no limit. */
function rlimit(value: number): bigint {
  return value < 0 || !Number.isFinite(value) ? 0xffff_ffff_ffff_ffffn : BigInt(Math.round(value));
}

export function encodeU32(value: number): Buffer {
  return new MessageWriter().u32(value).finish();
}

export function encodeU64(value: number): Buffer {
  return new MessageWriter().u64(value).finish();
}

export function encodeSize(columns: number, rows: number): Buffer {
  const clamp = (value: number) => Math.min(65_535, Math.max(1, Math.trunc(value) || 1));
  return new MessageWriter().u16(clamp(columns)).u16(clamp(rows)).finish();
}

export function decodeHello(body: Buffer): GuestHello & { taskStdinWindowBytes: number } {
  const reader = new MessageReader(body);
  reader.take(NONCE_BYTES);
  const hello = {
    agentVersion: reader.text(),
    kernel: reader.text(),
    taskStarted: reader.u8() === 1,
    taskStdinWindowBytes: reader.u32(),
  };
  reader.end();
  return hello;
}

/** Codes of error answers, in the order of guest/error.h. */
const ERROR_CODES: readonly ErrorCode[] = [
  'start_failed',
  'command_not_found',
  'command_not_executable',
  'invalid_user',
  'wrong_state',
  'invalid_request',
  'invalid_mount',
  'not_supported',
];

export function decodeError(body: Buffer): BulkheadError {
  const reader = new MessageReader(body);
  const code = ERROR_CODES[reader.u16()] ?? 'start_failed';
  const message = reader.text();
  reader.end();
  return new BulkheadError(code, message);
}

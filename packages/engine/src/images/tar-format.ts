/** The tar headers (POSIX.1-2001 pax, ustar, GNU long names), byte-exact: names and values are latin1 strings, one character a byte. */
import { BulkheadError } from '@bulkhead/contract';

export const BLOCK_BYTES = 512;
export const PAX_MAX_BYTES = 1024 * 1024;

export type EntryKind = 'file' | 'link' | 'symlink' | 'character' | 'block' | 'directory' | 'fifo';

export interface TarEntry {
  kind: EntryKind;
  /** As in the archive; latin1. */
  name: string;
  linkName: string;
  mode: number;
  uid: number;
  gid: number;
  sizeBytes: number;
  /** Unix seconds. */
  mtime: number;
  deviceMajor: number;
  deviceMinor: number;
  /** Names and values latin1. */
  xattrs: Map<string, string>;
}

/** A header block taken apart: one of an entry, or one that describes the next (`x`, `g`, `L`, `K`). */
export interface RawHeader extends Omit<TarEntry, 'kind' | 'xattrs'> {
  type: string;
}

export function rejected(why: string): never {
  throw new BulkheadError('archive_rejected', `the archive is refused: ${why}`);
}

function text(block: Buffer, start: number, length: number): string {
  const end = block.indexOf(0, start);
  return block.toString('latin1', start, end < 0 || end > start + length ? start + length : end);
}

/** Octal digits, or GNU's base 256 where the first bit is set. */
function number(block: Buffer, start: number, length: number): number {
  const first = block[start]!;
  if (first & 0x80) {
    let value = first === 0xff ? -1n : BigInt(first & 0x7f);
    for (let index = start + 1; index < start + length; index++) value = value * 256n + BigInt(block[index]!);
    return Number(value);
  }
  const digits = text(block, start, length).trim();
  if (digits === '') return 0;
  if (!/^[0-7]+$/.test(digits)) rejected('a header has a number that is none');
  return Number.parseInt(digits, 8);
}

function checksum(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let index = 0; index < BLOCK_BYTES; index++) if (index < 148 || index >= 156) sum += block[index]!;
  return sum;
}

export function isZeroBlock(block: Buffer): boolean {
  return block.every((byte) => byte === 0);
}

export function parseHeader(block: Buffer): RawHeader {
  if (number(block, 148, 8) !== checksum(block)) rejected('a header has a wrong checksum');
  const posix = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = posix ? text(block, 345, 155) : '';
  const name = text(block, 0, 100);
  return {
    type: block[156] === 0 ? '0' : String.fromCharCode(block[156]!),
    name: prefix === '' ? name : `${prefix}/${name}`,
    linkName: text(block, 157, 100),
    mode: number(block, 100, 8),
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
    sizeBytes: number(block, 124, 12),
    mtime: number(block, 136, 12),
    deviceMajor: number(block, 329, 8),
    deviceMinor: number(block, 337, 8),
  };
}

/** pax records: `LENGTH KEY=VALUE\n`, the length counts all of it. Later ones win. */
export function parsePax(data: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  let offset = 0;
  while (offset < data.length && data[offset] !== 0) {
    const space = data.indexOf(0x20, offset);
    const digits = space < 0 ? '' : data.toString('latin1', offset, space);
    const end = offset + Number(digits);
    if (!/^\d{1,7}$/.test(digits) || end > data.length || end <= space || data[end - 1] !== 0x0a) {
      rejected('a pax header is malformed');
    }
    const equals = data.indexOf(0x3d, space);
    if (equals < 0 || equals >= end) rejected('a pax header is malformed');
    records.set(data.toString('latin1', space + 1, equals), data.toString('latin1', equals + 1, end - 1));
    offset = end;
  }
  return records;
}

function paxRecord(key: string, value: string): Buffer {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (`${length}`.length + rest.length !== length) length = `${length}`.length + rest.length;
  return Buffer.from(`${length}${rest}`, 'latin1');
}

const TYPE_OF: Record<EntryKind, string> = {
  file: '0',
  link: '1',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};

export function padding(sizeBytes: number): number {
  return (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES;
}

function octal(block: Buffer, start: number, length: number, value: number): void {
  block.write(value.toString(8).padStart(length - 1, '0'), start, 'latin1');
}

function headerBlock(type: string, entry: Omit<TarEntry, 'kind' | 'xattrs'>): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  block.write(entry.name.slice(0, 100), 0, 'latin1');
  octal(block, 100, 8, entry.mode & 0o7777);
  octal(block, 108, 8, Math.min(entry.uid, 0o7777777));
  octal(block, 116, 8, Math.min(entry.gid, 0o7777777));
  octal(block, 124, 12, Math.min(entry.sizeBytes, 0o77777777777));
  octal(block, 136, 12, entry.mtime);
  block.write(type, 156, 'latin1');
  block.write(entry.linkName.slice(0, 100), 157, 'latin1');
  block.write('ustar\u000000', 257, 'latin1');
  octal(block, 329, 8, entry.deviceMajor);
  octal(block, 337, 8, entry.deviceMinor);
  block.write(checksum(block).toString(8).padStart(6, '0').concat('\0 '), 148, 'latin1');
  return block;
}

/** Header blocks of one entry, with a pax header before it only where ustar cannot say it. Data and padding follow. */
export function formatHeader(entry: TarEntry): Buffer {
  const records: Buffer[] = [];
  if (entry.name.length > 100) records.push(paxRecord('path', entry.name));
  if (entry.linkName.length > 100) records.push(paxRecord('linkpath', entry.linkName));
  if (entry.uid > 0o7777777) records.push(paxRecord('uid', `${entry.uid}`));
  if (entry.gid > 0o7777777) records.push(paxRecord('gid', `${entry.gid}`));
  if (entry.sizeBytes > 0o77777777777) records.push(paxRecord('size', `${entry.sizeBytes}`));
  for (const [key, value] of entry.xattrs) records.push(paxRecord(`SCHILY.xattr.${key}`, value));
  const own = headerBlock(TYPE_OF[entry.kind], entry);
  if (records.length === 0) return own;
  const pax = Buffer.concat(records);
  const head = { ...entry, name: 'pax', linkName: '', mode: 0o644, uid: 0, gid: 0, mtime: 0, sizeBytes: pax.length };
  return Buffer.concat([headerBlock('x', head), pax, Buffer.alloc(padding(pax.length)), own]);
}

export const END_OF_ARCHIVE: Buffer = Buffer.alloc(2 * BLOCK_BYTES);

/** Reads a tar from a stream, entry by entry, and hands its data through unchanged. It bounds every header and writes nothing. */
import {
  BLOCK_BYTES,
  type EntryKind,
  isZeroBlock,
  PAX_MAX_BYTES,
  padding,
  parseHeader,
  parsePax,
  type RawHeader,
  rejected,
  type TarEntry,
} from './tar-format.ts';

const KINDS: Record<string, EntryKind> = {
  '0': 'file',
  '7': 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};
/** Headers that describe the next one; more of them in a row than this is an attack. */
const DESCRIPTIONS_MAX = 8;
const ID_MAX = 0xffff_ffff;
const MTIME_MAX = 0xffff_ffff;

export interface TarVisitor {
  entry(entry: TarEntry): void;
  /** Data of the last entry, in pieces, without padding. */
  data(piece: Buffer): void;
  endOfEntry(): void;
}

/** Push parser: give it chunks with `write`, then `end`. Errors are `archive_rejected`. */
export class TarReader {
  readonly #visitor: TarVisitor;
  #held: Buffer = Buffer.alloc(0);
  #state: 'header' | 'description' | 'data' | 'padding' | 'ended' = 'header';
  #remaining = 0;
  #padding = 0;
  #description: Buffer[] = [];
  #descriptionType = '';
  #descriptions = 0;
  #global = new Map<string, string>();
  #local = new Map<string, string>();

  constructor(visitor: TarVisitor) {
    this.#visitor = visitor;
  }

  write(chunk: Buffer): void {
    let rest = this.#held.length > 0 ? Buffer.concat([this.#held, chunk]) : chunk;
    this.#held = Buffer.alloc(0);
    while (rest.length > 0 && this.#state !== 'ended') {
      if (this.#state === 'header') {
        if (rest.length < BLOCK_BYTES) {
          this.#held = Buffer.from(rest);
          return;
        }
        const block = rest.subarray(0, BLOCK_BYTES);
        rest = rest.subarray(BLOCK_BYTES);
        if (isZeroBlock(block)) this.#state = 'ended';
        else this.#header(parseHeader(block));
      } else {
        rest = rest.subarray(this.#body(rest));
      }
    }
  }

  end(): void {
    if (this.#state === 'ended' || (this.#state === 'header' && this.#held.length === 0)) return;
    if (this.#state === 'padding') return;
    rejected('it ends in the middle of an entry');
  }

  #body(rest: Buffer): number {
    const wanted = this.#state === 'padding' ? this.#padding : this.#remaining;
    const piece = rest.subarray(0, wanted);
    if (this.#state === 'padding') {
      this.#padding -= piece.length;
      if (this.#padding === 0) this.#state = 'header';
      return piece.length;
    }
    this.#remaining -= piece.length;
    if (this.#state === 'data') this.#visitor.data(piece);
    else this.#description.push(Buffer.from(piece));
    if (this.#remaining === 0) this.#bodyEnded();
    return piece.length;
  }

  #bodyEnded(): void {
    if (this.#state === 'data') this.#visitor.endOfEntry();
    else this.#described(Buffer.concat(this.#description));
    this.#state = this.#padding > 0 ? 'padding' : 'header';
  }

  #header(header: RawHeader): void {
    if (header.sizeBytes < 0 || !Number.isSafeInteger(header.sizeBytes)) rejected('an entry has an impossible size');
    if ('xXgLK'.includes(header.type)) {
      if (header.sizeBytes > PAX_MAX_BYTES) rejected(`a pax header is larger than ${PAX_MAX_BYTES} bytes`);
      if (++this.#descriptions > DESCRIPTIONS_MAX) rejected('too many pax headers in a row');
      this.#descriptionType = header.type;
      this.#description = [];
      this.#begin('description', header.sizeBytes);
      return;
    }
    this.#descriptions = 0;
    if (header.type === 'V') return;
    const kind = KINDS[header.type];
    if (kind === undefined) {
      const shown = header.type === 'S' ? 'sparse files' : `entries of type ${JSON.stringify(header.type)}`;
      rejected(`${shown} are not supported`);
    }
    const entry = this.#complete(kind, header);
    this.#local = new Map();
    this.#visitor.entry(entry);
    this.#begin('data', entry.sizeBytes);
  }

  #begin(state: 'description' | 'data', sizeBytes: number): void {
    this.#state = state;
    this.#remaining = sizeBytes;
    this.#padding = padding(sizeBytes);
    if (sizeBytes === 0) this.#bodyEnded();
  }

  #described(data: Buffer): void {
    const untilZero = (): string => data.toString('latin1', 0, data.indexOf(0) < 0 ? data.length : data.indexOf(0));
    if (this.#descriptionType === 'L') this.#local.set('path', untilZero());
    else if (this.#descriptionType === 'K') this.#local.set('linkpath', untilZero());
    else if (this.#descriptionType === 'g') for (const [key, value] of parsePax(data)) this.#global.set(key, value);
    else for (const [key, value] of parsePax(data)) this.#local.set(key, value);
  }

  #complete(kind: EntryKind, header: RawHeader): TarEntry {
    const records = this.#global.size === 0 ? this.#local : new Map([...this.#global, ...this.#local]);
    const xattrs = new Map<string, string>();
    for (const [key, value] of records) {
      if (key.startsWith('SCHILY.xattr.')) xattrs.set(key.slice('SCHILY.xattr.'.length), value);
      if (key.startsWith('GNU.sparse.')) rejected('sparse files are not supported');
    }
    const name = records.get('path') ?? header.name;
    const isDirectory = kind === 'directory' || (kind === 'file' && name.endsWith('/'));
    const sizeBytes = kind === 'file' && !isDirectory ? numeric(records.get('size'), header.sizeBytes) : 0;
    if (sizeBytes < 0 || !Number.isSafeInteger(sizeBytes)) rejected('an entry has an impossible size');
    return {
      kind: isDirectory ? 'directory' : kind,
      name,
      linkName: records.get('linkpath') ?? header.linkName,
      mode: header.mode & 0o7777,
      uid: checkedId(numeric(records.get('uid'), header.uid)),
      gid: checkedId(numeric(records.get('gid'), header.gid)),
      sizeBytes,
      mtime: Math.min(Math.max(Math.floor(numeric(records.get('mtime'), header.mtime)), 0), MTIME_MAX),
      deviceMajor: header.deviceMajor,
      deviceMinor: header.deviceMinor,
      xattrs,
    };
  }
}

function numeric(value: string | undefined, otherwise: number): number {
  if (value === undefined || value === '') return otherwise;
  const parsed = Number(value);
  if (!/^-?\d+(\.\d*)?$/.test(value) || !Number.isFinite(parsed)) rejected('a pax header has a number that is none');
  return parsed;
}

function checkedId(id: number): number {
  if (id < 0 || id > ID_MAX || !Number.isInteger(id)) rejected(`an owner's id ${id} is out of range`);
  return id;
}

/**
 * Turns an OCI layer's tar into one that sqfstar may build: confined names, overlay's own whiteouts, harmless attributes.
 * Nothing is ever unpacked into the host's file system, so a link in a layer leads nowhere on the host; refused all the same
 * is what could mean one thing here and another to the next tool.
 */
import { END_OF_ARCHIVE, formatHeader, padding, rejected, type TarEntry } from './tar-format.ts';
import { TarReader, type TarVisitor } from './tar-reader.ts';

export interface LayerLimits {
  entries: number;
  unpackedBytes: number;
}

/** What only the whole archive tells, and has to be known before its first entry: found in one pass, used in the next. */
export interface LayerPlan {
  /** Of a name that comes more than once the last one counts: its position. */
  keep: Map<string, number>;
  /** Directories to be made opaque. */
  opaque: Set<string>;
  /** Names that are both whited out and present. */
  present: Set<string>;
}

export function emptyPlan(): LayerPlan {
  return { keep: new Map(), opaque: new Set(), present: new Set() };
}

const PATH_MAX_BYTES = 4095;
const NAME_MAX_BYTES = 255;
const XATTR_MAX_BYTES = 65_536;
const OPAQUE_MARKER = '.wh..wh..opq';
const OPAQUE_XATTR = 'trusted.overlay.opaque';

/** What a name of this layer is; `implied` is a directory known only from the names below it. */
type Known = 'directory' | 'implied' | 'other' | 'whiteout' | 'dropped';

export class LayerFilter implements TarVisitor {
  readonly #reader: TarReader = new TarReader(this);
  readonly #limits: LayerLimits;
  readonly #plan: LayerPlan;
  readonly #found: LayerPlan;
  readonly #known = new Map<string, Known>();
  readonly #opaqueToCome: Set<string>;
  #output: Buffer[] = [];
  #position = 0;
  #unpackedBytes = 0;
  #passesData = false;
  #paddingBytes = 0;
  #needsAnotherPass = false;

  constructor(plan: LayerPlan, limits: LayerLimits) {
    this.#plan = plan;
    this.#limits = limits;
    this.#found = { keep: new Map(plan.keep), opaque: new Set(plan.opaque), present: new Set(plan.present) };
    this.#opaqueToCome = new Set(plan.opaque);
  }

  /** Takes a piece of the archive; returns what it became. */
  write(chunk: Buffer): Buffer[] {
    this.#reader.write(chunk);
    return this.#taken();
  }

  end(): Buffer[] {
    this.#reader.end();
    for (const name of this.#opaqueToCome) this.#emit(this.#withOpaque(impliedDirectory(name)));
    this.#output.push(END_OF_ARCHIVE);
    return this.#taken();
  }

  /** The plan of a second pass where the output of this one is wrong, else undefined. */
  get nextPlan(): LayerPlan | undefined {
    return this.#needsAnotherPass ? this.#found : undefined;
  }

  get unpackedBytes(): number {
    return this.#unpackedBytes;
  }

  entry(entry: TarEntry): void {
    this.#passesData = false;
    if (++this.#position > this.#limits.entries) rejected(`it has more than ${this.#limits.entries} entries`);
    this.#unpackedBytes += entry.sizeBytes;
    if (this.#unpackedBytes > this.#limits.unpackedBytes) {
      rejected(`it unpacks to more than ${this.#limits.unpackedBytes} bytes`);
    }
    const name = confined(entry.name);
    const base = name.slice(name.lastIndexOf('/') + 1);
    const parent = name.slice(0, Math.max(name.length - base.length - 1, 0));
    if (base === OPAQUE_MARKER) this.#opaque(parent);
    if (name === '' || `/${name}`.includes('/.wh..wh.')) return;
    this.#checkParent(parent);
    if (base.startsWith('.wh.')) this.#whiteout(parent, base.slice('.wh.'.length));
    else this.#real(name, entry);
  }

  data(piece: Buffer): void {
    if (this.#passesData) this.#output.push(piece);
  }

  endOfEntry(): void {
    if (this.#passesData && this.#paddingBytes > 0) this.#output.push(Buffer.alloc(this.#paddingBytes));
    this.#passesData = false;
  }

  #taken(): Buffer[] {
    const taken = this.#output;
    this.#output = [];
    return taken;
  }

  #real(name: string, entry: TarEntry): void {
    const kept = this.#plan.keep.get(name);
    if (kept !== undefined && kept !== this.#position) return;
    const before = this.#known.get(name);
    if (before === 'implied' && entry.kind !== 'directory')
      rejected(`${shown(name)} is a directory and something else`);
    if (before === 'directory' || before === 'other') {
      this.#found.keep.set(name, this.#position);
      this.#needsAnotherPass = true;
      return;
    }
    if (before === 'whiteout') this.#presentAndWhitedOut(name, entry.kind === 'directory');
    if (entry.kind === 'character' && entry.deviceMajor === 0 && entry.deviceMinor === 0) {
      this.#known.set(name, 'whiteout');
    } else if (entry.kind === 'character' || entry.kind === 'block') {
      this.#known.set(name, 'dropped');
      return;
    } else {
      this.#known.set(name, entry.kind === 'directory' ? 'directory' : 'other');
    }
    this.#emit(this.#safe(name, entry));
  }

  #safe(name: string, entry: TarEntry): TarEntry {
    let linkName = '';
    if (entry.kind === 'link') linkName = this.#linkTarget(name, entry.linkName);
    if (entry.kind === 'symlink') linkName = symlinkTarget(name, entry.linkName);
    const safe: TarEntry = { ...entry, name, linkName, xattrs: harmless(name, entry.xattrs) };
    if (entry.kind !== 'character') Object.assign(safe, { deviceMajor: 0, deviceMinor: 0 });
    return this.#opaqueToCome.delete(name) ? this.#withOpaque(safe) : safe;
  }

  /** Layers' hard links stay within their layer (image-spec, layer.md); what is not there yet cannot be linked to. */
  #linkTarget(name: string, linkName: string): string {
    const target = confined(linkName);
    if (this.#known.get(target) === 'other' && target !== name) return target;
    rejected(`the hard link ${shown(name)} leads to ${shown(linkName)}, which is no file of this layer before it`);
  }

  #whiteout(parent: string, hidden: string): void {
    if (hidden === '' || hidden === '.' || hidden === '..') rejected('a whiteout hides no name');
    const name = parent === '' ? hidden : `${parent}/${hidden}`;
    const before = this.#known.get(name);
    if (before === 'whiteout' || this.#plan.present.has(name)) return;
    if (before !== undefined) {
      if (before !== 'other' && before !== 'dropped') this.#opaque(name);
      return;
    }
    this.#known.set(name, 'whiteout');
    this.#emit({ ...impliedDirectory(name), kind: 'character', mode: 0 });
  }

  /** A layer hides `name` below and brings its own: the own one hides by itself, a directory by being opaque. */
  #presentAndWhitedOut(name: string, isDirectory: boolean): void {
    this.#found.present.add(name);
    if (isDirectory) this.#found.opaque.add(name);
    this.#needsAnotherPass = true;
  }

  #opaque(directory: string): void {
    if (directory === '') rejected('it hides everything below it at once, which is not supported');
    if (this.#plan.opaque.has(directory)) return;
    const known = this.#known.get(directory);
    if (known === undefined || known === 'implied') {
      this.#checkParent(directory);
      this.#opaqueToCome.add(directory);
      return;
    }
    if (known !== 'directory') rejected(`${shown(directory)} is a directory and something else`);
    this.#found.opaque.add(directory);
    this.#needsAnotherPass = true;
  }

  #withOpaque(directory: TarEntry): TarEntry {
    if (directory.kind !== 'directory') rejected(`${shown(directory.name)} is a directory and something else`);
    return { ...directory, xattrs: new Map([...directory.xattrs, [OPAQUE_XATTR, 'y']]) };
  }

  /** All that leads to an entry is a directory of this layer, or not in it. */
  #checkParent(parent: string): void {
    for (let name = parent; name !== ''; name = name.slice(0, Math.max(name.lastIndexOf('/'), 0))) {
      const known = this.#known.get(name);
      if (known === 'directory' || known === 'implied') return;
      if (known === 'whiteout') this.#presentAndWhitedOut(name, true);
      else if (known !== undefined) rejected(`an entry lies below ${shown(name)}, which is no directory`);
      this.#known.set(name, 'implied');
    }
  }

  #emit(entry: TarEntry): void {
    this.#output.push(formatHeader(entry));
    this.#passesData = entry.sizeBytes > 0;
    this.#paddingBytes = padding(entry.sizeBytes);
  }
}

function impliedDirectory(name: string): TarEntry {
  const plain = { linkName: '', mode: 0o755, uid: 0, gid: 0, sizeBytes: 0, mtime: 0, deviceMajor: 0, deviceMinor: 0 };
  return { kind: 'directory', name, ...plain, xattrs: new Map() };
}

function shown(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}...` : name);
}

/** The name below the layer's root, without leading `/` and `.` parts; empty for the root itself. */
function confined(name: string): string {
  if (name.length > PATH_MAX_BYTES) rejected(`a name is longer than ${PATH_MAX_BYTES} bytes`);
  if (name.includes('\0')) rejected('a name holds a zero byte');
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  for (const part of parts) {
    if (part === '..') rejected(`the name ${shown(name)} has a .. in it`);
    if (part.length > NAME_MAX_BYTES) rejected(`a part of a name is longer than ${NAME_MAX_BYTES} bytes`);
    if (part.startsWith('.wh.') && !part.startsWith('.wh..wh.') && part !== parts.at(-1)) {
      rejected(`an entry lies below the whiteout ${shown(part)}`);
    }
  }
  return parts.join('/');
}

function symlinkTarget(name: string, target: string): string {
  if (target !== '' && target.length <= PATH_MAX_BYTES && !target.includes('\0')) return target;
  rejected(`the symbolic link ${shown(name)} has no valid target`);
}

/** File capabilities and the user's own attributes stay; all that steers a kernel or an overlay goes. */
function harmless(name: string, xattrs: Map<string, string>): Map<string, string> {
  const kept = new Map<string, string>();
  for (const [key, value] of xattrs) {
    const wanted = key === 'security.capability' || (key.startsWith('user.') && !key.startsWith('user.overlay.'));
    if (!wanted) continue;
    if (key.length > NAME_MAX_BYTES || value.length > XATTR_MAX_BYTES)
      rejected(`${shown(name)} has an attribute too large`);
    kept.set(key, value);
  }
  return kept;
}

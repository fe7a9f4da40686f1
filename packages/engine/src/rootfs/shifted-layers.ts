/** Copies of layers whose files belong to the instances' own range of ids, for kernels that map no ids of a squashfs (before Linux 6.2). */
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { constants, copyFile, type FileHandle, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { BulkheadError } from '@bulkhead/contract';
import type { IdMap } from '../ports/rootfs.ts';

const MAGIC = 0x73717368;
const SUPERBLOCK_BYTES = 96;
const IDS_PER_BLOCK = 2048;
const UNCOMPRESSED = 0x8000;
/** Whom the kernel, too, shows for an owner outside of a map. */
const NOBODY = 65_534;

export class ShiftedLayers {
  readonly #root: string;
  /** By the file they make. */
  readonly #underWay = new Map<string, Promise<string>>();

  constructor(data: string) {
    this.#root = path.join(data, 'shifted');
  }

  /** The copy of the prepared layer `squashfs`. Made once; whole or not at all. */
  async ensure(hex: string, squashfs: string, map: IdMap): Promise<string> {
    const target = path.join(this.#root, `${hex}.sqfs`);
    if (existsSync(target)) return target;
    const running = this.#underWay.get(target) ?? makeShifted(squashfs, target, map);
    this.#underWay.set(target, running);
    try {
      return await running;
    } finally {
      this.#underWay.delete(target);
    }
  }

  /** Removes those whose layer is gone, and what a crash left half done. What is mounted lives on. */
  sweep(known: (short: string) => boolean): void {
    if (!existsSync(this.#root)) return;
    for (const name of readdirSync(this.#root)) {
      const whole = path.join(this.#root, name.replace(/\.partial$/, ''));
      const wanted = name.endsWith('.sqfs') && known(name.slice(0, 12));
      if (!wanted && !this.#underWay.has(whole)) rmSync(path.join(this.#root, name), { force: true });
    }
  }
}

async function makeShifted(squashfs: string, target: string, map: IdMap): Promise<string> {
  const partial = `${target}.partial`;
  try {
    mkdirSync(path.dirname(target), { recursive: true, mode: 0o700 });
    await copyFile(squashfs, partial, constants.COPYFILE_FICLONE);
    const file = await open(partial, 'r+');
    try {
      await shiftIds(file, map);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, target);
    return target;
  } catch (error) {
    await rm(partial, { force: true });
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOSPC' || code === 'EDQUOT')
      throw new BulkheadError('disk_full', `no space left for a copy of a layer`, { cause: error });
    throw error;
  }
}

/**
 * Every inode names its owner by a place in one table, which is all that has to change. Squashfs 4.0: `no_ids` at 26,
 * `id_table_start` at 48, there 64-bit places of blocks, each a 16-bit length and 32-bit ids.
 */
async function shiftIds(file: FileHandle, map: IdMap): Promise<void> {
  const superblock = await bytesAt(file, 0, SUPERBLOCK_BYTES);
  if (superblock.readUInt32LE(0) !== MAGIC) throw new Error('a layer is not a squashfs');
  const blocks = Math.ceil(superblock.readUInt16LE(26) / IDS_PER_BLOCK);
  const places = await bytesAt(file, Number(superblock.readBigUInt64LE(48)), blocks * 8);
  for (let block = 0; block < blocks; block++) {
    const place = Number(places.readBigUInt64LE(block * 8));
    const header = (await bytesAt(file, place, 2)).readUInt16LE(0);
    if ((header & UNCOMPRESSED) === 0) throw new Error('the ids of a layer are compressed');
    const ids = await bytesAt(file, place + 2, header & ~UNCOMPRESSED);
    for (let at = 0; at < ids.length; at += 4) {
      const id = ids.readUInt32LE(at);
      ids.writeUInt32LE(id < map.count ? map.hostId + id : NOBODY, at);
    }
    await file.write(ids, 0, ids.length, place + 2);
  }
}

async function bytesAt(file: FileHandle, place: number, length: number): Promise<Buffer> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, place);
  if (bytesRead !== length) throw new Error('a layer is cut short');
  return buffer;
}

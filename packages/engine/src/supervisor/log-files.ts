/** The files of one log, oldest first, held open: a rotation only renames them, so a reader keeps its place. */
import { type BigIntStats, closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { LogDecoder } from './log-record.ts';

const BLOCK_BYTES = 256 * 1024;

export interface LogFile {
  descriptor: number;
  /** Inode numbers are used again at once; with the time of birth they are unique. */
  identity: string;
}

const identityOf = (stats: BigIntStats): string => `${stats.ino}:${stats.birthtimeNs}`;
const birthOf = (identity: string): bigint => BigInt(identity.split(':')[1] ?? 0);

export function identityAt(file: string): string | undefined {
  const stats = statSync(file, { bigint: true, throwIfNoEntry: false });
  return stats && identityOf(stats);
}

/** All of them, or those that came after the file `known`. Opened in one go: no rotation of this engine comes between. */
export function openLog(log: string, known?: string): LogFile[] {
  const names = [log];
  while (identityAt(`${log}.${names.length}`) !== undefined) names.push(`${log}.${names.length}`);
  const newestFirst: LogFile[] = [];
  for (const name of names) {
    try {
      const descriptor = openSync(name, 'r');
      newestFirst.push({ descriptor, identity: identityOf(fstatSync(descriptor, { bigint: true })) });
    } catch {
      // Between a rotation and conmon's answer to it there is no newest file.
    }
  }
  if (known === undefined) return newestFirst.reverse();
  const place = newestFirst.findIndex(({ identity }) => identity === known);
  // A file that is gone was the oldest, or conmon has replaced it at its limit of last resort: what was born later is newer.
  const newer = newestFirst.filter(({ identity }, index) =>
    place >= 0 ? index < place : birthOf(identity) > birthOf(known),
  );
  closeLog(newestFirst.filter((file) => !newer.includes(file)));
  return newer.reverse();
}

export function closeLog(files: LogFile[]): void {
  for (const { descriptor } of files) closeSync(descriptor);
}

/** Where the last `count` lines begin that `within` lets through, read from the end. A record without a newline belongs to the line that follows. */
export function lastLines(
  files: LogFile[],
  count: number,
  within: (atMs: number) => boolean,
): { index: number; offset: number } {
  let lines = 0;
  let last = true;
  for (let index = files.length - 1; index >= 0; index--) {
    const descriptor = files[index]?.descriptor ?? -1;
    let end = fileSize(descriptor);
    // The part of a record whose beginning is in the block before.
    let rest: Buffer = Buffer.alloc(0);
    while (end > 0) {
      const start = Math.max(0, end - BLOCK_BYTES);
      const block = Buffer.allocUnsafe(end - start);
      readSync(descriptor, block, 0, block.length, start);
      const data = Buffer.concat([block, rest]);
      const whole = start === 0 ? 0 : data.indexOf(0x0a) + 1;
      let offset = start + data.length;
      for (const line of linesBackwards(data, whole)) {
        const record = new LogDecoder().feed(line)[0];
        const counts = record !== undefined && within(record.at) && (record.data.at(-1) === 0x0a || last);
        if (counts && ++lines > count) return { index, offset };
        if (record !== undefined && within(record.at)) last = false;
        offset -= line.length;
      }
      rest = data.subarray(0, whole);
      end = start;
    }
  }
  return { index: 0, offset: 0 };
}

function fileSize(descriptor: number): number {
  return fstatSync(descriptor).size;
}

function* linesBackwards(data: Buffer, from: number): Generator<Buffer> {
  let end = data.length;
  while (end > from) {
    const newline = end >= 2 ? data.lastIndexOf(0x0a, end - 2) : -1;
    const start = Math.max(from, newline + 1);
    yield data.subarray(start, end);
    end = start;
  }
}

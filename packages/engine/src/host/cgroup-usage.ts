/** What a control group has used, read from the files of either version. A file that is not there counts nothing. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

export interface CgroupUsage {
  cpuNanoseconds: number;
  memoryBytes: number;
  /** 0: none. */
  memoryLimitBytes: number;
  pids: number;
  blockReadBytes: number;
  blockWrittenBytes: number;
}

/** Directory per controller; version 2 has the one `unified`. */
type Directories = Map<string, string>;

/** v1 writes "no limit" as a number near 2^63. */
const NO_LIMIT = 2 ** 60;

const number = (text: string): number => (/^\d+/.test(text) ? Number(text.trim()) : 0);
const field = (text: string, name: string): number => Number(new RegExp(`^${name} (\\d+)`, 'm').exec(text)?.[1] ?? 0);
const sum = (text: string, pattern: RegExp): number =>
  [...text.matchAll(pattern)].reduce((total, match) => total + Number(match[1]), 0);

function read(directories: Directories, controller: string, file: string): string {
  try {
    return readFileSync(path.join(directories.get(controller) ?? '', file), 'utf8');
  } catch {
    return '';
  }
}

export function readUsage(version: 1 | 2, directories: Directories): CgroupUsage {
  return version === 2 ? unified(directories) : separate(directories);
}

function unified(directories: Directories): CgroupUsage {
  const file = (name: string): string => read(directories, 'unified', name);
  const io = file('io.stat');
  return {
    cpuNanoseconds: field(file('cpu.stat'), 'usage_usec') * 1000,
    memoryBytes: Math.max(0, number(file('memory.current')) - field(file('memory.stat'), 'inactive_file')),
    memoryLimitBytes: number(file('memory.max')),
    pids: number(file('pids.current')),
    blockReadBytes: sum(io, /rbytes=(\d+)/g),
    blockWrittenBytes: sum(io, /wbytes=(\d+)/g),
  };
}

function separate(directories: Directories): CgroupUsage {
  const memory = (name: string): string => read(directories, 'memory', name);
  const io = read(directories, 'blkio', 'blkio.throttle.io_service_bytes');
  const limit = number(memory('memory.limit_in_bytes'));
  return {
    cpuNanoseconds: number(read(directories, 'cpuacct', 'cpuacct.usage')),
    memoryBytes: Math.max(
      0,
      number(memory('memory.usage_in_bytes')) - field(memory('memory.stat'), 'total_inactive_file'),
    ),
    memoryLimitBytes: limit > NO_LIMIT ? 0 : limit,
    pids: number(read(directories, 'pids', 'pids.current')),
    blockReadBytes: sum(io, /^\d+:\d+ Read (\d+)/gm),
    blockWrittenBytes: sum(io, /^\d+:\d+ Write (\d+)/gm),
  };
}

export function readOomKills(version: 1 | 2, directories: Directories): number {
  return version === 2
    ? field(read(directories, 'unified', 'memory.events'), 'oom_kill')
    : field(read(directories, 'memory', 'memory.oom_control'), 'oom_kill');
}

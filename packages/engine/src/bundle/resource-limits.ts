/** Resource limits of a task, never above what this engine may set: a start does not fail for them. */
import { readFileSync } from 'node:fs';
import type { Ulimit } from '../domain/task.ts';

export interface Rlimit {
  type: string;
  soft: number;
  hard: number;
}

/** Line of /proc/self/limits per name of setrlimit(2). */
const LINES: Record<string, string> = {
  RLIMIT_AS: 'Max address space',
  RLIMIT_CORE: 'Max core file size',
  RLIMIT_CPU: 'Max cpu time',
  RLIMIT_DATA: 'Max data size',
  RLIMIT_FSIZE: 'Max file size',
  RLIMIT_LOCKS: 'Max file locks',
  RLIMIT_MEMLOCK: 'Max locked memory',
  RLIMIT_MSGQUEUE: 'Max msgqueue size',
  RLIMIT_NICE: 'Max nice priority',
  RLIMIT_NOFILE: 'Max open files',
  RLIMIT_NPROC: 'Max processes',
  RLIMIT_RSS: 'Max resident set',
  RLIMIT_RTPRIO: 'Max realtime priority',
  RLIMIT_RTTIME: 'Max realtime timeout',
  RLIMIT_SIGPENDING: 'Max pending signals',
  RLIMIT_STACK: 'Max stack size',
};
const CAP_SYS_RESOURCE = 1n << 24n;
/** Larger than any limit in use and exact in a number of JSON; the kernel has no need to know it as "unlimited". */
const UNLIMITED = Number.MAX_SAFE_INTEGER;

/** The highest this process can set; empty where it can set any. */
export function ceilings(folder = '/proc/self'): Map<string, number> {
  const capable = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync(`${folder}/status`, 'utf8'))?.[1] ?? '0';
  if ((BigInt(`0x${capable}`) & CAP_SYS_RESOURCE) !== 0n) return new Map();
  const table = readFileSync(`${folder}/limits`, 'utf8');
  return new Map(
    Object.entries(LINES).flatMap(([type, line]): [string, number][] => {
      const hard = new RegExp(`^${line}\\s+\\S+\\s+(\\d+)`, 'm').exec(table)?.[1];
      return hard === undefined ? [] : [[type, Number(hard)]];
    }),
  );
}

/** Negative is "unlimited", as in Docker. `lowered` tells what could not be given. */
export function rlimitsOf(ulimits: Ulimit[], highest: Map<string, number>): { rlimits: Rlimit[]; lowered: string[] } {
  const lowered: string[] = [];
  const rlimits = ulimits.map(({ name, soft, hard }): Rlimit => {
    const type = `RLIMIT_${name.toUpperCase()}`;
    const ceiling = highest.get(type) ?? UNLIMITED;
    const [wantedSoft, wantedHard] = [soft, hard].map((value) => (value < 0 ? UNLIMITED : value)) as [number, number];
    if (Math.max(wantedSoft, wantedHard) > ceiling) lowered.push(`${name} to ${ceiling}`);
    const givenHard = Math.min(wantedHard, ceiling);
    return { type, soft: Math.min(wantedSoft, givenHard), hard: givenHard };
  });
  return { rlimits, lowered };
}

/** The rate of this host's time stamp counter, which an emulated guest sees as its own. */
import { readFileSync } from 'node:fs';

/**
 * In kHz, or undefined where this host does not know it. A guest that has to find it out by itself counts against an
 * emulated timer, fails where the host is busy, and then waits for ever for a tick that does not come.
 */
export function hostTscKhz(cpuinfo: string = readFileSync('/proc/cpuinfo', 'utf8')): number | undefined {
  // The flags say that the counter runs at one rate; the kernel derives bogomips from it: two loops a cycle.
  if (!/^flags\s*:.*\bconstant_tsc\b/m.test(cpuinfo)) return undefined;
  const bogomips = Number(/^bogomips\s*: ([\d.]+)$/m.exec(cpuinfo)?.[1]);
  return bogomips > 0 ? Math.round(bogomips * 500) : undefined;
}

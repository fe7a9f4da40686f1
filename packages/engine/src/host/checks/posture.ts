/** What this kernel and machine leak or lack however well a level holds: shared memory pages, sibling threads, flaws of the CPU, rights of the engine. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Probe } from './probe.ts';
import { firstLine, program } from './probe.ts';

const CPU = '/sys/devices/system/cpu';
const CAP_SYS_RESOURCE = 24n;

/** `root` is `/sys` and `/proc`'s parent: a test's own tree stands in for it. */
const read = (root: string, file: string): string | undefined => {
  try {
    return readFileSync(path.join(root, file), 'utf8').trim();
  } catch {
    return undefined;
  }
};

export function ksmProbe(root = '/'): Probe {
  const means = 'it is not known whether machines share memory pages';
  return {
    name: 'same-page merging (KSM)',
    means,
    fix: 'echo 2 > /sys/kernel/mm/ksm/run',
    limitMs: 1000,
    run: async () => {
      const state = read(root, '/sys/kernel/mm/ksm/run');
      if (state !== '1')
        return {
          status: 'ok',
          found: state === undefined ? 'not in this kernel' : 'off',
          means: 'no task can time what memory another holds',
        };
      return {
        status: 'warning',
        found: 'on',
        means: 'an untrusted task may find out by timing what memory another holds',
        fix: 'echo 2 > /sys/kernel/mm/ksm/run, and keep ksmtuned from turning it on again.',
      };
    },
  };
}

export function smtProbe(root = '/'): Probe {
  return {
    name: 'sibling threads (SMT)',
    means: 'it is not known whether tasks share a core',
    fix: 'echo off > /sys/devices/system/cpu/smt/control',
    limitMs: 1000,
    run: async () => {
      const control = read(root, `${CPU}/smt/control`) ?? 'not known to this kernel';
      if (control !== 'on') return { status: 'ok', found: control, means: 'two tasks never run on one core at a time' };
      return {
        status: 'warning',
        found: 'on',
        means: 'two tasks may run on one core at a time and watch its caches, at every level',
        fix: `Where untrusted tasks run beside secrets: echo off > ${CPU}/smt/control, or pin them with --cpuset-cpus.`,
      };
    },
  };
}

export function cpuFlawsProbe(root = '/'): Probe {
  return {
    name: 'CPU flaws',
    means: 'it is not known which flaws this CPU has',
    fix: 'Use a kernel that lists them.',
    limitMs: 1000,
    run: async () => {
      const folder = path.join(root, CPU, 'vulnerabilities');
      const open = readdirSync(folder).filter((name) => read(folder, name)?.startsWith('Vulnerable'));
      if (open.length === 0)
        return { status: 'ok', found: 'none that is not mitigated', means: 'no known flaw lets one task read another' };
      return {
        status: 'warning',
        found: `not mitigated: ${open.sort().join(', ')}`,
        means: 'untrusted code may read memory across any level, also out of a microVM',
        fix: 'Update the microcode and the kernel; take mitigations=off from its command line.',
      };
    },
  };
}

export function resourceRightsProbe(): Probe {
  const means = "limits above the engine's own cannot be given, and nothing can be kept from the out-of-memory killer";
  const fix = 'Run the engine with CAP_SYS_RESOURCE; everything works without it.';
  return {
    name: 'CAP_SYS_RESOURCE',
    means,
    fix,
    limitMs: 3000,
    run: async (signal) => {
      const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(read('/', '/proc/self/status') ?? '')?.[1] ?? '0';
      const held = (BigInt(`0x${effective}`) >> CAP_SYS_RESOURCE) & 1n;
      // A child of its own tries, so that the engine's own value is never touched.
      const script = 'echo "$(($(cat /proc/self/oom_score_adj) - 1))" >/proc/self/oom_score_adj';
      const lowered = await program('sh', ['-c', script], { signal });
      if (held === 1n && lowered.code === 0) {
        return {
          status: 'ok',
          found: 'held; oom_score_adj can be lowered',
          means: 'the engine can be kept from the out-of-memory killer',
        };
      }
      const found =
        held === 1n
          ? `held, but oom_score_adj: ${firstLine(lowered.stderr)}`
          : 'not held; oom_score_adj cannot be lowered';
      return { status: 'warning', found, means, fix };
    },
  };
}

/** QEMU, and whether KVM boots a kernel here. The boot itself is the microVM driver's: a /dev/kvm that opens proves nothing. */
import { existsSync } from 'node:fs';
import type { Fingerprint } from '../../ports/driver.ts';
import type { Check } from '../../ports/host.ts';
import { firstLine, type Probe, program, words } from './probe.ts';

const OLDEST = [7, 2] as const;
const QEMU = process.arch === 'arm64' ? 'qemu-system-aarch64' : 'qemu-system-x86_64';

export function qemuProbe(): Probe {
  const means = 'the level microvm is not available';
  const fix = `Install ${process.arch === 'arm64' ? 'qemu-system-arm' : 'qemu-system-x86'}.`;
  return {
    name: 'QEMU',
    means,
    fix,
    limitMs: 5000,
    run: async (signal) => {
      const version = await program(QEMU, ['--version'], { signal });
      if (version.code !== 0) return { status: 'warning', found: words(version), means, fix };
      const found = firstLine(version.stdout);
      const [major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(found)?.slice(1) ?? []).map(Number);
      const tooOld = major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
      if (tooOld)
        return { status: 'warning', found, means: `microvm is tested with ${OLDEST.join('.')} and later only`, fix };
      return { status: 'ok', found, means: 'there is a VMM for the level microvm' };
    },
  };
}

export function kvmProbe(fingerprints: () => Promise<Fingerprint[]>): Probe {
  const means = 'microVMs are emulated (TCG): the same isolation, several times slower';
  const fix =
    'Use a machine with VT-x or AMD-V, or a virtual one with nested virtualisation turned on, and load kvm_intel or kvm_amd.';
  return {
    name: 'KVM',
    means,
    fix,
    limitMs: 13_000,
    run: async (): Promise<Omit<Check, 'name'>> => {
      const device = existsSync('/dev/kvm');
      const microvm = (await fingerprints()).find((level) => level.level === 'microvm');
      if (microvm?.available && microvm.detail.accelerator === 'kvm') {
        return {
          status: 'ok',
          found: 'it booted a kernel',
          means: 'microVMs run on hardware virtualisation, and untrusted tasks get one',
        };
      }
      if (!microvm?.available) {
        const found = `not tried: no microVM can be started (${microvm?.reason ?? 'this engine has no driver for it'})`;
        return { status: 'warning', found, means: 'the level microvm is not available', fix: microvm?.fix ?? fix };
      }
      const why = microvm.detail.kvm ?? microvm.detail.kvmReason;
      const found = device
        ? `/dev/kvm is there, but does not boot a kernel${why ? `: ${why}` : ''}`
        : 'there is no /dev/kvm';
      return { status: 'warning', found, means, fix };
    },
  };
}

/** Finds out by use what this host can do, and says what that means for the levels and how to get the rest. It repairs nothing. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Fingerprint } from '../ports/driver.ts';
import type { Check, HostPaths } from '../ports/host.ts';
import { cgroupsProbe } from './checks/cgroups.ts';
import { idMapProbe, overlayProbe } from './checks/file-systems.ts';
import { gvisorProbe } from './checks/gvisor.ts';
import { cpuFlawsProbe, ksmProbe, resourceRightsProbe, smtProbe } from './checks/posture.ts';
import { type Probe, runProbe } from './checks/probe.ts';
import { conmonProbe, runtimeProbe, userNamespaceProbe } from './checks/runtimes.ts';
import { reachProbe, storageProbe } from './checks/storage.ts';
import { toolProbes } from './checks/tools.ts';
import { kvmProbe, qemuProbe } from './checks/virtualisation.ts';

export interface DoctorOptions {
  paths: HostPaths;
  /** What the drivers found; `refresh` asks them to probe again. */
  fingerprints: (refresh: boolean) => Promise<Fingerprint[]>;
  /** Checks of other adapters, e.g. the network's. They keep their own time. */
  others?: () => Promise<Check[]>;
}

/** Probes at a time: more would only make each other's limits run out. */
const AT_ONCE = 4;

export class Doctor {
  readonly #options: DoctorOptions;
  #last: Promise<Check[]> | undefined;

  constructor(options: DoctorOptions) {
    this.#options = options;
  }

  async run(refresh = false): Promise<{ checks: Check[]; levels: Fingerprint[] }> {
    const levels = this.#options.fingerprints(refresh);
    const [checks, found] = await Promise.all([this.#examined(refresh, () => levels), levels]);
    return { checks, levels: found };
  }

  /** Alone, the drivers asked only for what they know already. */
  checks(refresh = false): Promise<Check[]> {
    return this.#examined(refresh, () => this.#options.fingerprints(false));
  }

  #examined(refresh: boolean, fingerprints: () => Promise<Fingerprint[]>): Promise<Check[]> {
    const before = this.#last;
    if (before && !refresh) return before;
    // One after the other: they share a directory and would eat up each other's time.
    this.#last = (before ?? Promise.resolve()).then(() => this.#examine(fingerprints));
    return this.#last;
  }

  async #examine(fingerprints: () => Promise<Fingerprint[]>): Promise<Check[]> {
    const { data, run } = this.#options.paths;
    const others = this.#others();
    const scratch = makeScratch(data);
    try {
      const checks = await inTurn([
        // The longest first, so that the short ones fill the gaps.
        gvisorProbe(scratch),
        kvmProbe(fingerprints),
        cgroupsProbe(),
        runtimeProbe('crun', scratch),
        runtimeProbe('runc', scratch),
        conmonProbe(),
        userNamespaceProbe(),
        idMapProbe(scratch),
        overlayProbe('squashfs', scratch),
        overlayProbe('erofs', scratch),
        qemuProbe(),
        ...toolProbes(scratch),
        storageProbe(data),
        reachProbe([data, run]),
        ksmProbe(),
        smtProbe(),
        cpuFlawsProbe(),
        resourceRightsProbe(),
      ]);
      return [...checks, ...(await others)];
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  }

  async #others(): Promise<Check[]> {
    try {
      return (await this.#options.others?.()) ?? [];
    } catch (error) {
      return [
        { name: 'other checks', status: 'failed', found: String(error), means: 'a part of the host was not checked' },
      ];
    }
  }
}

/** A data directory that cannot be written is one line of the answer, and not the failure of every other check. */
function makeScratch(data: string): string {
  try {
    // Of a fixed name, so that the next examination removes what a killed engine left of this one.
    const scratch = path.join(data, 'doctor');
    rmSync(scratch, { recursive: true, force: true });
    mkdirSync(scratch, { mode: 0o711 });
    return scratch;
  } catch {
    const scratch = mkdtempSync(path.join(tmpdir(), 'bulkhead-doctor-'));
    // Root inside a user namespace must be able to come here.
    chmodSync(scratch, 0o711);
    return scratch;
  }
}

async function inTurn(probes: Probe[]): Promise<Check[]> {
  const answers: Check[] = [];
  let next = 0;
  const worker = async () => {
    while (next < probes.length) {
      const mine = next++;
      const probe = probes[mine];
      if (probe) answers[mine] = await runProbe(probe);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return answers;
}

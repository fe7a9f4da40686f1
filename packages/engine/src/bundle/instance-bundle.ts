/** Writes the bundle of an instance: its configuration and the files of /etc the engine gives. It starts nothing. */
import { chownSync, lstatSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { BulkheadError } from '@bulkhead/contract';
import type { StartPlan } from '../ports/driver.ts';
import type { RootfsStore } from '../ports/rootfs.ts';
import { CompiledFilters } from './compiled-filters.ts';
import { bundleConfig } from './config.ts';
import type { BundleFacts } from './facts.ts';
import { withHostOwners } from './host-owners.ts';
import { ceilings, rlimitsOf } from './resource-limits.ts';
import type { Handle, Runtime, RuntimeDeps } from './runtime.ts';
import { seccompProfile } from './seccomp.ts';
import type { Identity } from './user.ts';

const INIT_PATH = '/usr/bin/catatonit';
const BUSYBOX_PATH = '/bin/busybox';

export class InstanceBundles {
  readonly #deps: RuntimeDeps;
  readonly #filters: CompiledFilters;
  readonly #highest = ceilings();

  constructor(deps: RuntimeDeps) {
    this.#deps = deps;
    this.#filters = new CompiledFilters(path.join(deps.paths.run, 'filters'));
  }

  folderOf(id: string): string {
    return path.join(this.#deps.paths.run, 'instances', id);
  }

  /** Writes `folder`; `root` is mounted already. `newRules`: the runtime has to compile them, as never before. */
  write(
    plan: StartPlan,
    from: { folder: string; root: string; identity: Identity; runtime: Runtime },
  ): Pick<Handle, 'rlimits' | 'lowered' | 'unmapped'> & { newRules?: unknown } {
    const { folder, root, identity, runtime } = from;
    const { rootfs, cgroup } = this.#deps;
    const { rlimits, lowered } = rlimitsOf(plan.ulimits, this.#highest);
    const rules = runtime.seccomp ? seccompProfile(plan.capabilities) : undefined;
    const compiled = runtime.compiledFilter && this.#filters.find(rules, runtime.command);
    const facts: BundleFacts = {
      root,
      idMap: rootfs.idMap(),
      cgroupsPath: runtime.ownCgroups ? undefined : cgroup.pathOf(plan.id),
      files: this.#etcFiles(plan, folder),
      identity,
      initPath: INIT_PATH,
      busyboxPath: BUSYBOX_PATH,
      rlimits,
      limitsSwap: cgroup.limitsSwap(),
      ...(rules ? { seccomp: { rules, ...(compiled ? { compiled } : {}) } } : {}),
      ...tmpOf(root, runtime, plan.readOnlyRoot),
    };
    const { mounts, unmapped } = withHostOwners(plan, rootfs);
    writeFileSync(path.join(folder, 'config.json'), JSON.stringify(bundleConfig({ ...plan, mounts }, facts)));
    const isNew = runtime.compiledFilter !== undefined && compiled === undefined;
    return { rlimits, lowered, unmapped, ...(isNew ? { newRules: rules } : {}) };
  }

  /** The runtime has started an instance of rules {@link write} called new: what it compiled serves the next. */
  keepFilter(id: string, newRules: unknown, runtime: Runtime): void {
    const { command, state, compiledFilter } = runtime;
    if (newRules !== undefined && compiledFilter !== undefined)
      this.#filters.keep(newRules, command, path.join(state, id, compiledFilter));
  }

  #etcFiles(plan: StartPlan, folder: string): BundleFacts['files'] {
    const owner = this.#deps.rootfs.idMap()?.hostId ?? 0;
    const write = (name: string, content: string): string => {
      const file = path.join(folder, name);
      writeFileSync(file, content, { mode: 0o644 });
      if (owner !== 0) chownSync(file, owner, owner);
      return file;
    };
    mkdirSync(folder, { recursive: true });
    return {
      hosts: write('hosts', plan.hostsFile),
      resolvConf: write('resolv.conf', plan.resolvConf),
      hostname: write('hostname', `${plan.hostname}\n`),
    };
  }
}

/** /proc leads to descriptors of the runtime (CVE-2024-21626), so no directory is there. */
export function checkedDirectory(cwd: string): string {
  const clean = path.posix.normalize(`/${cwd}`);
  if (/^\/+proc(\/|$)/.test(clean))
    throw new BulkheadError('start_failed', `the working directory ${JSON.stringify(cwd)} is not a place of the image`);
  return clean.replace(/^\/+/, '/');
}

/** Makes the working directory, as an image's WORKDIR may be missing in it. Below a mount it is the mount's matter. */
export async function ensureWorkingDirectory(rootfs: RootfsStore, root: string, plan: StartPlan): Promise<void> {
  const cwd = checkedDirectory(plan.process.cwd);
  if (cwd === '/' || plan.mounts.some(({ target }) => cwd === target || cwd.startsWith(`${target}/`))) return;
  try {
    await rootfs.ensureDirectory(root, cwd);
  } catch (cause) {
    throw new BulkheadError('start_failed', `the working directory ${cwd} is no directory and cannot be made`, {
      cause,
    });
  }
}

/** Not where it is a link, which could lead anywhere; a read-only root keeps the runtime's own tmpfs. */
function tmpOf(root: string, runtime: Runtime, readOnlyRoot: boolean): { tmpSource?: string } {
  const tmp = path.join(root, 'tmp');
  return runtime.coversTmp && !readOnlyRoot && lstatSync(tmp, { throwIfNoEntry: false })?.isDirectory()
    ? { tmpSource: tmp }
    : {};
}

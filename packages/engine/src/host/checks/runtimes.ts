/** OCI runtimes, which really run a container with a user namespace and limits, and the supervisor, which only has to answer. */
import path from 'node:path';
import type { Check } from '../../ports/host.ts';
import { SAYS, writeBundle } from './bundle.ts';
import { firstLine, inDirectory, type Probe, program, words } from './probe.ts';

type Answer = Omit<Check, 'name'>;

/** A failure is a warning: one runtime is enough, and the level container says whether there is one. */
export function runtimeProbe(runtime: 'crun' | 'runc', scratch: string): Probe {
  const main = runtime === 'crun';
  const means = main
    ? 'containers start with runc instead, which takes longer'
    : 'there is no stand-in where crun fails';
  const fix = `Install ${runtime}; if it is installed, see the line about cgroups.`;
  return {
    name: runtime,
    means,
    fix,
    limitMs: 8000,
    run: (signal) => inDirectory(scratch, (directory) => use(directory, signal)),
  };

  async function use(directory: string, signal: AbortSignal): Promise<Answer> {
    const version = await program(runtime, ['--version'], { signal });
    if (version.code !== 0) return { status: 'warning', found: words(version), means, fix };
    const id = path.basename(directory);
    writeBundle(directory, { userNamespace: true, cgroup: `/bulkhead-${id}` });
    const root = path.join(directory, 'state');
    const ran = await program(runtime, ['--root', root, 'run', '--bundle', directory, id], { signal });
    // Ends what a hung run left; nothing is there after a good one.
    if (ran.code !== 0) await program(runtime, ['--root', root, 'delete', '--force', id]);
    const found = firstLine(version.stdout);
    if (ran.code === 0 && ran.stdout.includes(SAYS)) {
      return { status: 'ok', found: `${found} ran a container`, means: 'the levels container and microvm can be held' };
    }
    return { status: 'warning', found: `${found}: ${words(ran)}`, means, fix };
  }
}

export function conmonProbe(): Probe {
  const means = 'nothing can be started: conmon keeps every task, its log and its exit code';
  const fix = 'Install conmon.';
  return {
    name: 'conmon',
    means,
    fix,
    limitMs: 5000,
    run: async (signal) => {
      const version = await program('conmon', ['--version'], { signal });
      if (version.code !== 0) return { status: 'failed', found: words(version), means, fix };
      return { status: 'ok', found: firstLine(version.stdout), means: 'tasks live on while the engine does not' };
    },
  };
}

export function userNamespaceProbe(): Probe {
  const means = 'root inside a container would be root outside';
  const fix = 'Set user.max_user_namespaces above 0 and use a kernel with CONFIG_USER_NS.';
  return {
    name: 'user namespaces',
    means,
    fix,
    limitMs: 5000,
    run: async (signal) => {
      const made = await program('unshare', ['--user', '--map-root-user', 'id', '-u'], { signal });
      if (made.code !== 0) return { status: 'failed', found: words(made), means, fix };
      return { status: 'ok', found: 'one was made', means: 'root inside a container is nobody outside' };
    },
  };
}

/** runsc: which platforms and which network modes really run something here, not which are compiled in. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Check } from '../../ports/host.ts';
import { SAYS, writeBundle } from './bundle.ts';
import { firstLine, inDirectory, type Probe, program, words } from './probe.ts';

/** Best first. */
const PLATFORMS = ['kvm', 'systrap', 'ptrace'];
const PLATFORM_LIMIT_MS = 3000;

export function gvisorProbe(scratch: string): Probe {
  const means = 'the level gvisor is not available';
  const fix = 'Install runsc; on Debian 12 from bookworm-backports, as the older one lacks systrap.';
  return { name: 'runsc', means, fix, limitMs: 13_000, run: (signal) => examine(signal) };

  async function examine(signal: AbortSignal): Promise<Omit<Check, 'name'>> {
    const version = await program('runsc', ['--version'], { signal });
    if (version.code !== 0) return { status: 'warning', found: words(version), means, fix };
    const works: string[] = [];
    const fails: string[] = [];
    const attempt = async (platform: string, network: string) => {
      const label = network === 'host' ? platform : `${network} network`;
      const why = await tryOut(scratch, platform, network, signal);
      if (why === undefined) works.push(label);
      else fails.push(`${label}: ${why}`);
      return why === undefined;
    };
    for (const platform of PLATFORMS) {
      if (platform === 'kvm' && !existsSync('/dev/kvm')) continue;
      // One that works is enough; the slow ptrace is asked only where nothing else works.
      if (platform === 'ptrace' && works.length > 0) continue;
      await attempt(platform, 'host');
    }
    const platform = works[0];
    const found = firstLine(version.stdout);
    if (platform === undefined) return { status: 'warning', found: `${found}: ${fails.join('; ')}`, means, fix };
    const ownStack = await attempt(platform, 'sandbox');
    return {
      status: platform === 'ptrace' ? 'warning' : 'ok',
      found: `${found} ran with ${works.join(', ')}${fails.length > 0 ? `; not with ${fails.join('; ')}` : ''}`,
      means: `the level gvisor is available (${ownStack ? 'with its own network stack' : "with the host's network stack inside the instance's own netns"})`,
      ...(platform === 'ptrace' ? { fix: 'Install a newer runsc: systrap is several times faster than ptrace.' } : {}),
    };
  }
}

/** Undefined where it ran, else why not. */
async function tryOut(
  scratch: string,
  platform: string,
  network: string,
  outer: AbortSignal,
): Promise<string | undefined> {
  return inDirectory(scratch, async (directory) => {
    const id = path.basename(directory);
    writeBundle(directory, { userNamespace: false });
    const root = path.join(directory, 'state');
    const signal = AbortSignal.any([outer, AbortSignal.timeout(PLATFORM_LIMIT_MS)]);
    const flags = ['--root', root, '--ignore-cgroups', `--platform=${platform}`, `--network=${network}`];
    // With a limit of its own: a platform that hangs must not outlive an engine that was killed meanwhile.
    const limit = ['--signal=KILL', String(PLATFORM_LIMIT_MS / 1000 + 1)];
    const ran = await program('timeout', [...limit, 'runsc', ...flags, 'run', '--bundle', directory, id], { signal });
    if (ran.code === 0 && ran.stdout.includes(SAYS)) return undefined;
    await program('runsc', ['--root', root, 'delete', '--force', id], { signal: AbortSignal.timeout(2000) });
    return words(ran);
  });
}

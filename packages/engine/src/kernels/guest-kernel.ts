/** The kernels of microVMs: one of our own where it was built, else the distribution's package, fetched and not installed. */
import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { BulkheadError } from '@bulkhead/contract';
import type { GuestKernel, KernelFlavour, KernelSource } from '../ports/vmm.ts';

const run = promisify(execFile);
const words = (text: string): string[] => text.trim().split(/\s+/);
const FETCH_LIMIT_MS = 300_000;
/** The metapackage whose dependency is the current kernel. */
const PACKAGES: Record<Exclude<KernelFlavour, 'own'>, string> = process.arch === 'arm64'
  ? { cloud: 'linux-image-cloud-arm64', generic: 'linux-image-arm64' }
  : { cloud: 'linux-image-cloud-amd64', generic: 'linux-image-amd64' };

/** Where everything a virtio machine needs lies; the rest of a generic kernel is hardware that is not there (400 MB of it). */
const MODULE_FOLDERS = words(`
arch/x86/crypto arch/arm64/crypto block crypto lib drivers/virtio drivers/block/virtio_blk drivers/block/loop drivers/char
drivers/net/virtio_net drivers/net/net_failover drivers/scsi/virtio_scsi drivers/scsi/sd_mod drivers/scsi/scsi_common
drivers/scsi/scsi_mod fs/9p fs/erofs fs/ext4 fs/fscache fs/fuse fs/jbd2 fs/mbcache fs/netfs fs/overlayfs fs/squashfs net/9p
net/core
`);

export class GuestKernels implements KernelSource {
  readonly #folder: string;
  readonly #fetching = new Map<KernelFlavour, Promise<GuestKernel>>();

  constructor(deps: { data: string }) {
    this.#folder = path.join(deps.data, 'kernels');
  }

  /** The one to use: `own` does everything where it exists; `cloud` boots fastest; only `generic` knows 9p. */
  async get(needs: { shares: boolean }): Promise<GuestKernel> {
    const own = this.#installed('own');
    if (own !== undefined) return own;
    const flavour = needs.shares ? 'generic' : 'cloud';
    const there = this.#installed(flavour);
    if (there !== undefined) return there;
    let fetching = this.#fetching.get(flavour);
    if (fetching === undefined) {
      fetching = this.#fetch(flavour).finally(() => this.#fetching.delete(flavour));
      this.#fetching.set(flavour, fetching);
    }
    return fetching;
  }

  #installed(flavour: KernelFlavour): GuestKernel | undefined {
    const folder = path.join(this.#folder, flavour);
    const version = path.join(folder, 'version');
    if (!existsSync(version)) return undefined;
    const release = readFileSync(version, 'utf8').trim();
    return {
      flavour,
      release,
      image: path.join(folder, 'vmlinuz'),
      folder,
      modulesDir: existsSync(path.join(folder, 'modules', 'modules.dep')) ? path.join(folder, 'modules') : undefined,
    };
  }

  async #fetch(flavour: Exclude<KernelFlavour, 'own'>): Promise<GuestKernel> {
    mkdirSync(this.#folder, { recursive: true });
    this.#removeRuins();
    const work = mkdtempSync(path.join(this.#folder, 'fetch-'));
    try {
      const { stdout } = await run('apt-cache', ['depends', '--no-recommends', '--no-suggests', PACKAGES[flavour]]);
      const name = /Depends: (linux-image-\S+)/.exec(stdout)?.[1];
      if (name === undefined) throw new Error(`${PACKAGES[flavour]} names no kernel`);
      await run('apt-get', ['download', '-q', '-o', 'APT::Sandbox::User=root', name], {
        cwd: work,
        timeout: FETCH_LIMIT_MS,
      });
      const archive = readdirSync(work).find((file) => file.endsWith('.deb'));
      if (archive === undefined) throw new Error('apt-get downloaded nothing');
      await run('dpkg-deb', ['-x', path.join(work, archive), path.join(work, 'root')], { timeout: FETCH_LIMIT_MS });
      return await this.#keep(flavour, work);
    } catch (cause) {
      const words = (cause as { stderr?: string }).stderr?.trim().split('\n').at(-1) ?? (cause as Error).message;
      throw new BulkheadError(
        'level_unavailable',
        `the guest kernel ${PACKAGES[flavour]} cannot be fetched: ${words}`,
        { hint: 'Run `apt-get update`, or build one with `npm run guest-kernel`.', cause },
      );
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }

  /** What a fetch left that was killed; one that still runs is younger. */
  #removeRuins(): void {
    for (const name of readdirSync(this.#folder).filter((entry) => entry.startsWith('fetch-'))) {
      const folder = path.join(this.#folder, name);
      const touchedAt = statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
      if (touchedAt < Date.now() - 2 * FETCH_LIMIT_MS) rmSync(folder, { recursive: true, force: true });
    }
  }

  async #keep(flavour: KernelFlavour, work: string): Promise<GuestKernel> {
    const root = path.join(work, 'root');
    const image = readdirSync(path.join(root, 'boot')).find((file) => file.startsWith('vmlinu'));
    const lib = [path.join(root, 'lib/modules'), path.join(root, 'usr/lib/modules')].find(existsSync);
    const release = lib && readdirSync(lib)[0];
    if (image === undefined || lib === undefined || release === undefined)
      throw new Error('the package holds no kernel');
    await dropOtherModules(path.join(lib, release, 'kernel'));
    await run('depmod', ['-b', lib.endsWith('/usr/lib/modules') ? path.join(root, 'usr') : root, release]);
    const ready = path.join(work, 'ready');
    mkdirSync(ready);
    renameSync(path.join(root, 'boot', image), path.join(ready, 'vmlinuz'));
    renameSync(path.join(lib, release), path.join(ready, 'modules'));
    writeFileSync(path.join(ready, 'version'), release);
    const target = path.join(this.#folder, flavour);
    try {
      renameSync(ready, target);
    } catch (error) {
      // Another engine of this host was faster, or what is there is a ruin.
      if (this.#installed(flavour) === undefined) {
        rmSync(target, { recursive: true, force: true });
        renameSync(ready, target);
      } else if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
    const kernel = this.#installed(flavour);
    if (kernel === undefined) throw new Error('the kernel vanished');
    return kernel;
  }
}

async function dropOtherModules(folder: string): Promise<void> {
  const { stdout } = await run('find', [folder, '-name', '*.ko*', '-type', 'f'], { maxBuffer: 16 << 20 });
  for (const file of stdout.split('\n').filter((line) => line !== '')) {
    const place = path.relative(folder, file);
    if (!MODULE_FOLDERS.some((kept) => place.startsWith(`${kept}/`) || place.startsWith(`${kept}.ko`))) rmSync(file);
  }
  await run('find', [folder, '-type', 'd', '-empty', '-delete']);
}

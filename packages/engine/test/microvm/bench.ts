/** The microVM driver with all its real parts on folders of its own; everything is gone when the test ends. */
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { MicrovmDriver } from '../../src/drivers/microvm/driver.ts';
import { initrd } from '../../src/drivers/microvm/initrd.ts';
import { Cgroups } from '../../src/host/cgroup.ts';
import { prepareCgroups } from '../../src/host/checks/cgroups.ts';
import { hostPaths } from '../../src/host/paths.ts';
import { GuestKernels } from '../../src/kernels/guest-kernel.ts';
import type { Exit, ProcessSpec, StartPlan } from '../../src/ports/driver.ts';
import type { HostPaths } from '../../src/ports/host.ts';
import { OverlayRootfs } from '../../src/rootfs/overlay.ts';
import { ConmonSupervisor } from '../../src/supervisor/conmon.ts';
import { ConmonLog } from '../../src/supervisor/conmon-log.ts';
import { QemuVmm } from '../../src/vmms/qemu/qemu.ts';

const GUEST = path.resolve(import.meta.dirname, '../../../../guest');
/** Kernels are large and the same for every engine: fetched once for all tests. */
const KERNELS = process.env.BULKHEAD_TEST_KERNELS ?? '/var/cache/bulkhead/kernels';
const COMMANDS = [
  'sh',
  'cat',
  'echo',
  'id',
  'sleep',
  'true',
  'seq',
  'wc',
  'uname',
  'ls',
  'stat',
  'chown',
  'dd',
  'grep',
];

export interface Outcome {
  exit: Exit;
  stdout: Buffer;
  stderr: Buffer;
}

export class Bench {
  readonly base: string;
  readonly paths: HostPaths;
  driver: MicrovmDriver;
  readonly rootfs: OverlayRootfs;
  readonly cgroup: Cgroups;
  readonly #supervisor: ConmonSupervisor;
  readonly #started = new Set<string>();

  private constructor(t: TestContext, base: string) {
    this.base = base;
    this.paths = hostPaths(path.join(base, 'data'), path.join(base, 'run'));
    prepareCgroups();
    this.rootfs = new OverlayRootfs({ paths: this.paths });
    this.cgroup = new Cgroups(this.paths.tag);
    this.#supervisor = new ConmonSupervisor({ paths: this.paths });
    this.driver = this.newDriver();
    t.after(async () => {
      for (const id of this.#started) await this.driver.destroy(id);
      this.rootfs.unmountAll();
      this.cgroup.removeParent();
      rmSync(base, { recursive: true, force: true });
    });
  }

  static async open(t: TestContext): Promise<Bench> {
    const base = mkdtempSync(path.join(tmpdir(), 'bulkhead-microvm-'));
    // The monitor is an ordinary user outside, who has to get through.
    chmodSync(base, 0o711);
    execFileSync('sh', [path.join(GUEST, 'build.sh')]);
    const bench = new Bench(t, base);
    for (const folder of [KERNELS, path.join(bench.paths.data, 'layers'), path.join(bench.paths.data, 'instances')])
      mkdirSync(folder, { recursive: true, mode: 0o711 });
    if (!existsSync(path.join(bench.paths.data, 'kernels')))
      symlinkSync(KERNELS, path.join(bench.paths.data, 'kernels'));
    await bench.rootfs.init();
    return bench;
  }

  /** As a new engine would have it. */
  newDriver(): MicrovmDriver {
    const { paths, rootfs, cgroup } = this;
    const kernels = new GuestKernels({ data: paths.data });
    const guest = { initPath: path.join(GUEST, 'build/init'), busyboxPath: '/bin/busybox' };
    const bootable = async () => {
      const kernel = await kernels.get({ shares: false });
      const image = initrd(kernel, guest, { scsi: false, shares: false });
      return { kernel: kernel.image, initrd: image, release: kernel.release };
    };
    const vmm = new QemuVmm({ paths, rootfs, cgroupPath: (id) => cgroup.pathOf(id), bootable });
    const counters = async () => ({ receivedBytes: 0, sentBytes: 0 });
    return new MicrovmDriver({ paths, rootfs, cgroup, supervisor: this.#supervisor, vmm, kernels, guest, counters });
  }

  /** The engine's process is gone, and with it every connection; a new one knows only what it finds. */
  async forgetDriver(): Promise<void> {
    await this.driver.disconnect();
    this.driver = this.newDriver();
  }

  /** Gives a folder to the root of containers. */
  own(folder: string): void {
    const root = this.rootfs.idMap()?.hostId ?? 0;
    chownSync(folder, root, root);
  }

  /** Owner as instances see it. */
  insideOwner(file: string): number {
    return statSync(file).uid - (this.rootfs.idMap()?.hostId ?? 0);
  }

  /** A layer with what `fill` puts into a directory; returns its name. */
  layer(fill: (directory: string) => void): string {
    const directory = mkdtempSync(path.join(this.base, 'layer-'));
    fill(directory);
    const name = `sha256:${randomBytes(32).toString('hex')}`;
    const tar = execFileSync('tar', ['-C', directory, '--owner=0', '--group=0', '-c', '.'], { maxBuffer: 64 << 20 });
    const made = spawnSync('sqfstar', ['-quiet', '-no-progress', this.rootfs.layerFile(name)], { input: tar });
    if (made.status !== 0) throw new Error(made.stderr.toString());
    return name;
  }

  /** busybox, and two users. */
  baseLayer(): string {
    return this.layer((directory) => {
      for (const name of ['bin', 'etc', 'tmp', 'mnt']) mkdirSync(path.join(directory, name));
      cpSync('/bin/busybox', path.join(directory, 'bin/busybox'));
      for (const name of COMMANDS) symlinkSync('busybox', path.join(directory, 'bin', name));
      writeFileSync(
        path.join(directory, 'etc/passwd'),
        'root:x:0:0::/root:/bin/sh\nsailor:x:1000:1000::/tmp:/bin/sh\n',
      );
      writeFileSync(path.join(directory, 'etc/group'), 'root:x:0:\nsailor:x:1000:\n');
    });
  }

  plan(layers: string[], args: string[], change: Partial<StartPlan> = {}): StartPlan {
    const id = change.id ?? randomBytes(16).toString('hex');
    this.#started.add(id);
    mkdirSync(path.join(this.paths.data, 'instances', id), { recursive: true, mode: 0o711 });
    return {
      id,
      name: 'boat',
      hostname: 'boat',
      process: processOf(args),
      layers,
      readOnlyRoot: false,
      mounts: [],
      limits: {},
      ulimits: [],
      shmSizeBytes: 1 << 20,
      sysctls: {},
      capabilities: ['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FOWNER', 'CAP_KILL', 'CAP_SETUID', 'CAP_SETGID'],
      init: false,
      hostsFile: '127.0.0.1 localhost\n',
      resolvConf: '',
      logPath: path.join(this.paths.data, 'instances', id, 'log'),
      logMaxBytes: 1 << 24,
      ...change,
    };
  }

  /** To its end, and what it said. */
  async run(plan: StartPlan): Promise<Outcome> {
    await this.driver.start(plan);
    const exit = await this.driver.wait(plan.id);
    return { exit, ...(await this.output(plan)) };
  }

  async output(plan: StartPlan): Promise<{ stdout: Buffer; stderr: Buffer }> {
    const parts = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    const reader = new ConmonLog({ supervisor: this.#supervisor });
    for await (const records of reader.read(plan.logPath, { follow: false }))
      for (const record of records) parts[record.stream].push(record.data);
    return { stdout: Buffer.concat(parts.stdout), stderr: Buffer.concat(parts.stderr) };
  }
}

export const processOf = (args: string[], change: Partial<ProcessSpec> = {}): ProcessSpec => ({
  args,
  env: ['PATH=/bin'],
  cwd: '/',
  user: '',
  groupAdd: [],
  tty: false,
  stdin: false,
  ...change,
});

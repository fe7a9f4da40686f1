/** A host of its own for driver tests: a busybox root as squashfs, real supervisor, real cgroups, real runtimes. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ceilings } from '../../src/bundle/resource-limits.ts';
import type { RuntimeDriver } from '../../src/bundle/runtime-driver.ts';
import { GvisorDriver } from '../../src/drivers/gvisor/driver.ts';
import { OciDriver } from '../../src/drivers/oci/driver.ts';
import { Cgroups } from '../../src/host/cgroup.ts';
import type { Driver, Exit, ProcessSpec, StartPlan } from '../../src/ports/driver.ts';
import type { HostPaths } from '../../src/ports/host.ts';
import { OverlayRootfs } from '../../src/rootfs/overlay.ts';
import { ConmonSupervisor } from '../../src/supervisor/conmon.ts';
import { ConmonLog } from '../../src/supervisor/conmon-log.ts';

const LAYER = `sha256:${'1'.repeat(64)}`;
const CAPABILITIES =
  'CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE'
    .split(' ')
    .map((name) => `CAP_${name}`);

/** Fills a directory with what the tests' image holds. */
function fillRoot(root: string): void {
  for (const folder of ['bin', 'etc', 'tmp', 'root', 'home/app', 'full'])
    mkdirSync(path.join(root, folder), { recursive: true });
  chmodSync(path.join(root, 'tmp'), 0o1777);
  copyFileSync('/bin/busybox', path.join(root, 'bin/busybox'));
  for (const name of spawnSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).stdout.trim().split('\n'))
    if (name !== 'busybox') symlinkSync('busybox', path.join(root, 'bin', name));
  writeFileSync(
    path.join(root, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:App:/home/app:/bin/sh\nfar:x:70000:70000::/:/bin/sh\n',
  );
  writeFileSync(path.join(root, 'etc/group'), 'root:x:0:\napp:x:1000:\nextra:x:1500:app\nother:x:1600:\n');
  writeFileSync(path.join(root, 'bin/plain'), 'no program', { mode: 0o644 });
  writeFileSync(path.join(root, 'bin/garbage'), Buffer.from([0x7f, 0x45, 0x4c, 0x46, 1, 2, 3, 4]), { mode: 0o755 });
  symlinkSync('/proc/self/fd/7', path.join(root, 'sly'));
  writeFileSync(path.join(root, 'full/file'), 'from the image\n');
}

export interface Ended extends Exit {
  out: string;
  err: string;
}

export type More = Partial<Omit<StartPlan, 'process'>> & { process?: Partial<ProcessSpec> };

export class DriverHost {
  readonly base: string;
  readonly paths: HostPaths;
  readonly rootfs: OverlayRootfs;
  readonly supervisor: ConmonSupervisor;
  readonly cgroup: Cgroups;
  readonly logs: ConmonLog;
  readonly driver: RuntimeDriver & Driver;
  readonly #started: string[] = [];
  /** The watchers of exits keep no process alive. */
  readonly #awake = setInterval(() => {}, 1_000);

  private constructor(kind: 'container' | 'gvisor') {
    this.base = mkdtempSync(path.join(tmpdir(), 'bh-drv-'));
    chmodSync(this.base, 0o711);
    const data = path.join(this.base, 'data');
    const run = path.join(this.base, 'run');
    mkdirSync(path.join(data, 'layers'), { recursive: true });
    chmodSync(data, 0o711);
    mkdirSync(run, { mode: 0o711 });
    this.paths = { data, run, tag: randomBytes(3).toString('hex') };
    this.rootfs = new OverlayRootfs({ paths: this.paths });
    this.supervisor = new ConmonSupervisor({ paths: this.paths });
    this.cgroup = new Cgroups(this.paths.tag);
    this.logs = new ConmonLog({ supervisor: this.supervisor });
    const parts = {
      paths: this.paths,
      rootfs: this.rootfs,
      supervisor: this.supervisor,
      cgroup: this.cgroup,
      counters: async () => ({ receivedBytes: 1, sentBytes: 2 }),
    };
    this.driver = kind === 'container' ? new OciDriver(parts) : new GvisorDriver(parts);
  }

  static async make(kind: 'container' | 'gvisor', programs: Record<string, Buffer> = {}): Promise<DriverHost> {
    const host = new DriverHost(kind);
    await host.rootfs.init();
    const root = mkdtempSync(path.join(host.base, 'image-'));
    fillRoot(root);
    for (const [name, program] of Object.entries(programs))
      writeFileSync(path.join(root, name), program, { mode: 0o755 });
    const tar = spawnSync('tar', ['-c', '--owner=0', '--group=0', '-C', root, '.'], { maxBuffer: 1 << 28 }).stdout;
    const made = spawnSync('sqfstar', ['-quiet', '-no-progress', host.rootfs.layerFile(LAYER)], { input: tar });
    assert.equal(made.status, 0, made.stderr.toString());
    return host;
  }

  plan(args: string[], more: More = {}): StartPlan {
    const plan = DriverHost.planOf(this.paths, args, more);
    this.#started.push(plan.id);
    return plan;
  }

  static planOf(paths: HostPaths, args: string[], more: More = {}): StartPlan {
    const id = randomBytes(16).toString('hex');
    return {
      id,
      name: 'test',
      hostname: 'testhost',
      layers: [LAYER],
      readOnlyRoot: false,
      mounts: [],
      limits: {},
      ulimits: [],
      shmSizeBytes: 0,
      sysctls: {},
      capabilities: CAPABILITIES,
      init: false,
      hostsFile: '127.0.0.1 localhost\n',
      resolvConf: 'nameserver 192.0.2.1\n',
      logPath: path.join(paths.data, 'instances', id, 'log'),
      logMaxBytes: 64 << 20,
      ...more,
      process: { ...processOf(args), ...more.process },
    };
  }

  /** Starts, waits, reads everything it said, releases. */
  async run(args: string[], more: More = {}): Promise<Ended> {
    const plan = this.plan(args, more);
    const handle = await this.driver.start(plan);
    const exit = await this.driver.wait(plan.id, handle);
    const said = await this.said(plan);
    await this.driver.release(plan.id);
    return { ...exit, ...said };
  }

  sh(script: string, more: More = {}): Promise<Ended> {
    return this.run(['/bin/sh', '-c', script], more);
  }

  async said(plan: StartPlan): Promise<{ out: string; err: string }> {
    const text = { out: '', err: '' };
    for await (const records of this.logs.read(plan.logPath, { follow: false }))
      for (const record of records) text[record.stream === 'stdout' ? 'out' : 'err'] += record.data.toString('latin1');
    return text;
  }

  /** Where the level's runtime keeps what it knows. */
  get runtimeState(): string {
    const names = ['crun', 'runc', 'runsc'].map((name) => path.join(this.paths.run, name));
    return names.find((folder) => existsSync(folder)) ?? assert.fail('no runtime has run yet');
  }

  /** Undefined where this process may set any. */
  ceiling(name: string): number | undefined {
    return ceilings().get(`RLIMIT_${name.toUpperCase()}`);
  }

  /** This process's own, as /proc shows it. */
  namespaceOf(kind: string): string {
    return readlinkSync(`/proc/self/ns/${kind}`);
  }

  statusOf(pid: number, field: string): string {
    return new RegExp(`^${field}:\\s*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
  }

  /** Mounts, groups and processes of this host that are left. */
  traces(id: string): string[] {
    const mounts = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter((line) => line.includes(id));
    const groups = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter((line) => /^\S+ \S+ cgroup2? /.test(line))
      .map((line) => path.join(line.split(' ')[1] ?? '', `bulkhead-${this.paths.tag}`, id))
      .filter(existsSync);
    const processes = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(id);
        } catch {
          return false;
        }
      });
    const files = ['instances', 'exits', 'attach', 'persist', 'pids', 'crun', 'runc', 'runsc']
      .map((folder) => path.join(this.paths.run, folder))
      .filter(existsSync)
      .flatMap((folder) => readdirSync(folder).map((name) => path.join(folder, name)))
      .filter((file) => file.includes(id));
    return [...mounts, ...groups, ...processes.map((pid) => `process ${pid}`), ...files];
  }

  async dispose(): Promise<void> {
    clearInterval(this.#awake);
    await this.driver.close();
    for (const id of this.#started) await this.driver.destroy(id).catch(() => {});
    if (this.driver instanceof OciDriver) this.driver.purge();
    this.rootfs.unmountAll();
    this.cgroup.removeParent();
    rmSync(this.base, { recursive: true, force: true, maxRetries: 5 });
  }
}

export function processOf(args: string[], more: Partial<ProcessSpec> = {}): ProcessSpec {
  return {
    args,
    env: ['PATH=/usr/local/bin:/usr/bin:/bin'],
    cwd: '/',
    user: '',
    groupAdd: [],
    tty: false,
    stdin: false,
    ...more,
  };
}

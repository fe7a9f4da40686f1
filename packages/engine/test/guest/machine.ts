/** A guest under QEMU for tests: one busybox layer, real channel, outputs in files; nothing of it outlives its test. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { GuestChannel, type GuestConfig, type GuestProcess } from '../../src/drivers/microvm/channel.ts';
import { buildInitramfs, moduleOrder } from '../../src/drivers/microvm/initramfs.ts';

const GUEST = join(import.meta.dirname, '../../../../guest');
const KERNEL = process.env.BULKHEAD_TEST_KERNEL;
const MODULES = process.env.BULKHEAD_TEST_MODULES;
const WANTED = ['virtio_mmio', 'virtio_blk', 'virtio_net', 'virtio_console', 'squashfs', 'overlay', 'ext4'];
const BOOT_TIMEOUT_MS = 40_000;

/** Why no guest can be booted here, or false. */
export const cannotBoot =
  KERNEL && MODULES
    ? false
    : 'NOT TESTED: set BULKHEAD_TEST_KERNEL (vmlinuz) and BULKHEAD_TEST_MODULES (lib/modules/VERSION with modules.dep)';

export class TestMachine {
  readonly directory: string;
  readonly socketPath: string;
  readonly vmm: ChildProcess;
  readonly ended: Promise<void>;

  /** Boots; everything is removed when the test ends. */
  constructor(t: TestContext, extraArguments: (directory: string) => string[] = () => []) {
    const directory = mkdtempSync(join(tmpdir(), 'bulkhead-guest-'));
    this.directory = directory;
    this.socketPath = join(directory, 'agent.sock');
    execFileSync('sh', [join(GUEST, 'build.sh')]);
    makeLayer(directory);
    const modules = moduleOrder(MODULES!, WANTED);
    const image = buildInitramfs({ initPath: join(GUEST, 'build/init'), busyboxPath: '/bin/busybox', modules });
    writeFileSync(join(directory, 'initrd'), image);
    const log = openSync(join(directory, 'console'), 'w');
    this.vmm = spawn('qemu-system-x86_64', [...vmmArguments(directory), ...extraArguments(directory)], {
      stdio: ['ignore', log, log],
    });
    this.ended = new Promise((resolve) => this.vmm.once('close', () => resolve()));
    t.after(async () => {
      this.vmm.kill('SIGKILL');
      await this.ended;
      rmSync(directory, { recursive: true, force: true });
    });
  }

  connect(fresh = true): Promise<GuestChannel> {
    return GuestChannel.connect(this.socketPath, { timeoutMs: BOOT_TIMEOUT_MS, fresh });
  }

  read(name: 'stdout' | 'stderr' | 'console'): string {
    return readFileSync(join(this.directory, name), 'latin1');
  }
}

export const machineConfig = (change: Partial<GuestConfig> = {}): GuestConfig => ({
  hostname: 'boat',
  layers: [{ device: '0', fsType: 'squashfs' }],
  upper: { tmpfs: true },
  readOnlyRoot: false,
  mounts: [],
  tmpfs: [{ target: '/scratch', sizeBytes: 1 << 20, mode: 0o700 }],
  shmSizeBytes: 1 << 20,
  hostsFile: '127.0.0.1 localhost\n10.0.0.2 boat\n',
  resolvConf: 'nameserver 10.0.0.1\n',
  sysctls: { 'net.ipv4.ip_unprivileged_port_start': '0' },
  unixTimeMs: Date.now(),
  entropy: randomBytes(256),
  ...change,
});

export const processOf = (args: string[], change: Partial<GuestProcess> = {}): GuestProcess => ({
  args,
  env: ['PATH=/bin', 'GREETING=hello'],
  cwd: '/',
  user: '',
  groupAdd: [],
  tty: false,
  stdin: false,
  capabilities: ['CAP_CHOWN', 'CAP_SETUID', 'CAP_SETGID', 'CAP_KILL'],
  ulimits: [{ name: 'nofile', soft: 500, hard: 600 }],
  noNewPrivileges: true,
  ...change,
});

/** Runs an exec to its end. */
export async function run(
  channel: GuestChannel,
  args: string[],
  change: Partial<GuestProcess> = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const session = await channel.exec(processOf(args, change));
  const collect = async (stream: AsyncIterable<Buffer>) => {
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    return Buffer.concat(chunks).toString('latin1');
  };
  const [code, stdout, stderr] = await Promise.all([session.exit, collect(session.stdout), collect(session.stderr)]);
  return { code, stdout, stderr };
}

function makeLayer(directory: string): void {
  const root = join(directory, 'root');
  for (const name of ['bin', 'etc', 'tmp', 'home']) mkdirSync(join(root, name), { recursive: true });
  cpSync('/bin/busybox', join(root, 'bin/busybox'));
  for (const name of [
    'sh',
    'cat',
    'echo',
    'id',
    'head',
    'sleep',
    'true',
    'seq',
    'stty',
    'ps',
    'wc',
    'date',
    'tail',
    'hostname',
    'kill',
  ])
    symlinkSync('busybox', join(root, 'bin', name));
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\nsailor:x:1000:1000::/home:/bin/sh\n');
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\nsailor:x:1000:\ncrew:x:2000:sailor\n');
  writeFileSync(join(root, 'bin/not-a-program'), '', { mode: 0o644 });
  const tar = execFileSync('tar', ['-C', root, '--owner=0', '--group=0', '-c', '.'], { maxBuffer: 64 << 20 });
  execFileSync('sqfstar', ['-quiet', '-no-progress', join(directory, 'layer.sqfs')], {
    input: tar,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
}

function vmmArguments(directory: string): string[] {
  const port = (name: string) => [
    '-device',
    `virtserialport,chardev=${name},name=org.bulkhead.${name === 'agent' ? 'agent.0' : name}`,
  ];
  return [
    ...['-M', 'microvm', '-accel', 'tcg', '-cpu', 'max', '-m', '256', '-smp', '1', '-nodefaults', '-no-user-config'],
    ...['-display', 'none', '-no-reboot', '-serial', 'stdio', '-kernel', KERNEL!, '-initrd', join(directory, 'initrd')],
    ...[
      '-append',
      `console=ttyS0 panic=-1 loglevel=5 quiet no_timer_check tsc_early_khz=${Math.round(hostKhz())} lpj=5000000`,
    ],
    ...['-drive', `id=layer,if=none,format=raw,readonly=on,file=${join(directory, 'layer.sqfs')}`],
    ...['-device', 'virtio-blk-device,drive=layer,serial=layer', '-device', 'virtio-serial-device'],
    ...['-chardev', `socket,id=agent,path=${join(directory, 'agent.sock')},server=on,wait=off`, ...port('agent')],
    ...['-chardev', `file,id=stdout,path=${join(directory, 'stdout')}`, ...port('stdout')],
    ...['-chardev', `file,id=stderr,path=${join(directory, 'stderr')}`, ...port('stderr')],
  ];
}

/** Under TCG the guest's TSC is the host's. On a busy host the guest fails to measure it early and may hang there. */
function hostKhz(): number {
  return Number(/cpu MHz\s*:\s*([\d.]+)/.exec(readFileSync('/proc/cpuinfo', 'latin1'))?.[1] ?? 2000) * 1000;
}

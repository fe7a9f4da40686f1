/** QEMU's command line for a `microvm` machine (docs/system/i386/microvm of QEMU). Paths are those inside the jail. */
import type { DiskLayout, Machine } from '../../ports/vmm.ts';
import { FIRMWARE_FOLDERS } from './jail-root.ts';
import { hostTscKhz } from './time-stamp-counter.ts';

export type Accelerator = 'kvm' | 'tcg';

/** virtio-mmio slots of the machine (with ACPI, and so with a second IOAPIC). */
const SLOTS = 24;
/** Console, randomness, network. */
const OWN_SLOTS = 3;

export const diskSerial = (index: number): string => `disk${index}`;

/** Disks that do not fit the slots go behind one SCSI controller. Linux probes those all at once: only their serials tell them apart. */
export function diskLayout(disks: number, shares: number): DiskLayout {
  const scsi = disks > SLOTS - OWN_SLOTS - shares;
  const name = (index: number): string => (scsi ? diskSerial(index) : `vd${String.fromCharCode(97 + index)}`);
  return { scsi, devices: Array.from({ length: disks }, (_, index) => name(index)) };
}

/** Translated code, in MiB; the default of a quarter of the host's memory would not fit the cgroup. */
const TCG_BUFFER_MIB = 128;

/** `quiet` and what takes time without use in a machine that lives for one task. */
const KERNEL_PARAMETERS = [
  'quiet',
  'panic=-1',
  'console=hvc9',
  'random.trust_cpu=on',
  'tsc=reliable',
  'no_timer_check',
  'cryptomgr.notests',
  'rcupdate.rcu_expedited=1',
  'i8042.noaux',
  'i8042.nokbd',
  'net.ifnames=0',
  'ipv6.disable=1',
  'audit=0',
];

export function kernelParameters(accelerator: Accelerator): string {
  const tscKhz = accelerator === 'tcg' ? hostTscKhz() : undefined;
  return [...KERNEL_PARAMETERS, ...(tscKhz === undefined ? [] : [`tsc_early_khz=${tscKhz}`])].join(' ');
}

/** The same kernel as a task gets, but it speaks. */
export function probeParameters(accelerator: Accelerator): string {
  const words = kernelParameters(accelerator).split(' ');
  return ['console=ttyS0', ...words.filter((word) => word !== 'quiet' && !word.startsWith('console='))].join(' ');
}

export function baseArguments(accelerator: Accelerator, memoryBytes: number, cpus: number): string[] {
  return [
    '-M',
    'microvm',
    '-accel',
    accelerator === 'kvm' ? 'kvm' : `tcg,tb-size=${TCG_BUFFER_MIB}`,
    '-cpu',
    accelerator === 'kvm' ? 'host' : 'max',
    '-m',
    `${Math.floor(memoryBytes / 2 ** 20)}M`,
    '-smp',
    String(cpus),
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...FIRMWARE_FOLDERS.flatMap((folder) => ['-L', folder]),
  ];
}

export interface CommandLineOptions {
  /** The guest kernel speaks, too: into the instance's log, as stderr, and so within its limit. */
  console?: boolean;
}

export function commandLine(
  program: string,
  accelerator: Accelerator,
  machine: Machine,
  options: CommandLineOptions = {},
): string[] {
  const args = [program, ...baseArguments(accelerator, machine.memoryBytes, machine.cpus)];
  args.push('-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny');
  args.push('-kernel', '/kernel', '-initrd', '/initrd', '-append');
  args.push(options.console ? probeParameters(accelerator) : kernelParameters(accelerator));
  if (options.console)
    args.push('-chardev', 'file,id=console,path=/dev/fdset/4,append=on', '-serial', 'chardev:console');
  args.push('-device', 'virtio-serial-device,max_ports=4');
  // The task's output is the monitor's own: conmon logs it as that of any container.
  for (const [index, name] of (['stdout', 'stderr'] as const).entries()) {
    args.push(
      '-add-fd',
      `fd=${index + 3},set=${index + 3}`,
      '-chardev',
      `file,id=${name},path=/dev/fdset/${index + 3},append=on`,
    );
    args.push('-device', `virtserialport,chardev=${name},name=org.bulkhead.${name}`);
  }
  args.push(
    '-chardev',
    'socket,id=agent,path=/agent/agent.sock,server=on,wait=off',
    '-device',
    'virtserialport,chardev=agent,name=org.bulkhead.agent.0',
  );
  args.push('-object', 'rng-builtin,id=rng', '-device', 'virtio-rng-device,rng=rng');
  const { scsi } = diskLayout(machine.disks.length, machine.shares.length);
  if (scsi) args.push('-device', 'virtio-scsi-device,id=scsi');
  for (const [index, disk] of machine.disks.entries()) {
    const cache = disk.readOnly ? 'cache.direct=off' : 'cache.direct=off,cache.no-flush=off,discard=unmap';
    args.push(
      '-blockdev',
      `driver=raw,node-name=disk${index},read-only=${disk.readOnly ? 'on' : 'off'},file.driver=file,file.locking=off,file.filename=/disks/${index},${cache}`,
    );
    args.push(
      '-device',
      scsi
        ? `scsi-hd,bus=scsi.0,drive=disk${index},lun=${index},serial=${diskSerial(index)}`
        : `virtio-blk-device,drive=disk${index}`,
    );
  }
  for (const share of machine.shares) {
    args.push(
      '-fsdev',
      `local,id=${share.tag},path=/shares/${share.tag},security_model=passthrough,multidevs=remap${share.readOnly ? ',readonly=on' : ''}`,
    );
    args.push('-device', `virtio-9p-device,fsdev=${share.tag},mount_tag=${share.tag}`);
  }
  if (machine.lease)
    args.push(
      '-netdev',
      'tap,id=net,ifname=tap0,script=no,downscript=no',
      '-device',
      `virtio-net-device,netdev=net,mac=${machine.lease.mac}`,
    );
  return args;
}

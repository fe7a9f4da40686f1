/** The bundle of a jailed monitor: own uid, no capability, seccomp, a root that holds only the monitor and its disks. */

import { MASKED_PATHS, READ_ONLY_PATHS } from '../../bundle/mounts.ts';
import type { IdMap } from '../../ports/rootfs.ts';
import type { Machine } from '../../ports/vmm.ts';
import { vmmSeccomp } from './seccomp.ts';

export interface Jail {
  root: string;
  args: string[];
  uid: number;
  /** With shares: the monitor is root of the containers' id range, and only there. */
  idMap: IdMap | undefined;
  cgroupsPath: string;
  memoryLimitBytes: number;
  /** Host folder of the control channel's socket. */
  agentFolder: string;
  /** Host paths of device nodes the monitor may open. */
  devices: { tun?: string; kvm?: string };
  shareFolders: Map<string, string>;
}

/** To keep the owners of files on a share as containers see them; in a user namespace, so over nothing else. */
const SHARE_CAPABILITIES = ['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FOWNER', 'CAP_FSETID'];

const bind = (source: string, destination: string, ...options: string[]) => ({
  destination,
  type: 'bind',
  source,
  options: ['bind', 'rprivate', 'nosuid', 'noexec', ...options],
});

export function jailConfig(machine: Machine, jail: Jail): Record<string, unknown> {
  const capabilities = jail.idMap ? SHARE_CAPABILITIES : [];
  const mapping = jail.idMap && [{ containerID: 0, hostID: jail.idMap.hostId, size: jail.idMap.count }];
  const inside = jail.idMap ? 0 : jail.uid;
  return {
    ociVersion: '1.0.0',
    process: {
      terminal: false,
      user: { uid: inside, gid: inside },
      args: jail.args,
      env: ['PATH=/usr/bin'],
      cwd: '/',
      capabilities: {
        bounding: capabilities,
        effective: capabilities,
        permitted: capabilities,
        inheritable: [],
        ambient: [],
      },
      noNewPrivileges: true,
    },
    root: { path: jail.root, readonly: true },
    hostname: 'vmm',
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'noexec', 'mode=755', 'size=64k'] },
      // QEMU keeps small anonymous files here.
      {
        destination: '/tmp',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=1m'],
      },
      bind(machine.kernel, '/kernel', 'nodev', 'ro'),
      bind(machine.initrd, '/initrd', 'nodev', 'ro'),
      bind(jail.agentFolder, '/agent', 'nodev', 'rw'),
      {
        destination: '/disks',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'noexec', 'nodev', 'mode=755', 'size=64k'],
      },
      ...machine.disks.map((disk, index) => bind(disk.file, `/disks/${index}`, 'nodev', disk.readOnly ? 'ro' : 'rw')),
      {
        destination: '/shares',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'noexec', 'nodev', 'mode=755', 'size=64k'],
      },
      ...machine.shares.map((share) =>
        bind(
          jail.shareFolders.get(share.tag) ?? share.source,
          share.isFile ? `/shares/${share.tag}/file` : `/shares/${share.tag}`,
          'nodev',
          share.readOnly ? 'ro' : 'rw',
        ),
      ),
      ...(jail.devices.tun ? [bind(jail.devices.tun, '/dev/net/tun', 'rw')] : []),
      ...(jail.devices.kvm ? [bind(jail.devices.kvm, '/dev/kvm', 'rw')] : []),
    ],
    linux: {
      ...(mapping ? { uidMappings: mapping, gidMappings: mapping } : {}),
      cgroupsPath: jail.cgroupsPath,
      namespaces: [
        ...['mount', 'pid', 'ipc', 'uts', 'cgroup'].map((type) => ({ type })),
        { type: 'network', ...(machine.lease ? { path: machine.lease.netnsPath } : {}) },
        ...(mapping ? [{ type: 'user' }] : []),
      ],
      resources: {
        devices: [
          { allow: false, access: 'rwm' },
          ...(jail.devices.tun ? [{ allow: true, type: 'c', major: 10, minor: 200, access: 'rw' }] : []),
          ...(jail.devices.kvm ? [{ allow: true, type: 'c', major: 10, minor: 232, access: 'rw' }] : []),
        ],
        memory: { limit: jail.memoryLimitBytes },
        pids: { limit: 128 },
      },
      seccomp: vmmSeccomp({ shares: machine.shares.length > 0 }),
      maskedPaths: MASKED_PATHS,
      readonlyPaths: READ_ONLY_PATHS,
    },
  };
}

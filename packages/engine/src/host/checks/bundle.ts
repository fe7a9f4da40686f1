/** The smallest OCI bundle that proves a runtime: busybox says a word, in namespaces and limits of its own. */
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export const SAYS = 'bulkhead-probe';
const BUSYBOX = ['/bin/busybox', '/usr/bin/busybox'];

export interface BundleOptions {
  userNamespace: boolean;
  /** Absent: the runtime makes none. */
  cgroup?: string;
}

/** Throws where there is no static busybox to run. */
export function writeBundle(directory: string, options: BundleOptions): void {
  // Root inside is nobody outside: it must be able to come here.
  chmodSync(directory, 0o711);
  const bin = path.join(directory, 'rootfs/bin');
  for (const name of ['bin', 'proc', 'dev', 'tmp'])
    mkdirSync(path.join(directory, 'rootfs', name), { recursive: true });
  copyBusybox(path.join(bin, 'busybox'));
  writeFileSync(path.join(directory, 'config.json'), JSON.stringify(configuration(options)));
}

function copyBusybox(target: string): void {
  for (const source of BUSYBOX) {
    try {
      copyFileSync(source, target);
      chmodSync(target, 0o755);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  throw new Error('busybox-static is not installed, so there is nothing to run');
}

function configuration({ userNamespace, cgroup }: BundleOptions): object {
  const map = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  const namespaces = [
    ...['pid', 'ipc', 'uts', 'mount', 'network'].map((type) => ({ type })),
    ...(userNamespace ? [{ type: 'user' }] : []),
  ];
  return {
    ociVersion: '1.0.2',
    root: { path: 'rootfs', readonly: true },
    process: {
      args: ['/bin/busybox', 'echo', SAYS],
      cwd: '/',
      user: { uid: 0, gid: 0 },
      noNewPrivileges: true,
      capabilities: { bounding: [], effective: [], permitted: [] },
    },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=64k'] },
    ],
    linux: {
      namespaces,
      ...(userNamespace ? { uidMappings: map, gidMappings: map } : {}),
      ...(cgroup === undefined
        ? {}
        : { cgroupsPath: cgroup, resources: { memory: { limit: 64 << 20 }, pids: { limit: 32 } } }),
    },
  };
}

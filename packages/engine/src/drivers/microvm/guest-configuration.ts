/** What a guest is told about its machine and its processes, from the plan of an instance. Pure. */
import { statSync } from 'node:fs';
import type { MountSpec } from '../../domain/task.ts';
import type { ProcessSpec, StartPlan } from '../../ports/driver.ts';
import type { MachineShare } from '../../ports/vmm.ts';
import type { GuestConfig, GuestProcess } from './channel.ts';

const isBind = (mount: MountSpec): boolean => mount.type === 'bind';

export function sharesOf(mounts: MountSpec[]): MachineShare[] {
  return mounts.filter(isBind).map((mount, index) => ({
    tag: `share${index}`,
    source: mount.source,
    readOnly: mount.readOnly,
    isFile: !statSync(mount.source).isDirectory(),
  }));
}

export interface MachineFacts {
  /** Device names in the order of the disks: the layers, then the writable one. */
  devices: string[];
  shares: MachineShare[];
  layerFormat: 'squashfs' | 'erofs';
  unixTimeMs: number;
  entropy: Buffer;
}

export function configurationOf(plan: StartPlan, facts: MachineFacts): GuestConfig {
  const { devices, shares, layerFormat } = facts;
  return {
    hostname: plan.hostname,
    ...(plan.domainname ? { domainname: plan.domainname } : {}),
    layers: plan.layers.map((_layer, index) => ({ device: devices[index] ?? '', fsType: layerFormat })),
    upper: plan.readOnlyRoot ? { tmpfs: true } : { device: devices[plan.layers.length] ?? '', fsType: 'ext4' },
    readOnlyRoot: plan.readOnlyRoot,
    mounts: plan.mounts.filter(isBind).map((mount, index) => ({
      kind: '9p',
      source: shares[index]?.tag ?? '',
      target: mount.target,
      fsType: '9p',
      readOnly: mount.readOnly,
      ...(shares[index]?.isFile ? { subpath: 'file' } : {}),
    })),
    tmpfs: plan.mounts
      .filter((mount) => mount.type === 'tmpfs')
      .map((mount) => ({
        target: mount.target,
        ...(mount.sizeBytes ? { sizeBytes: mount.sizeBytes } : {}),
        ...(mount.mode ? { mode: mount.mode } : {}),
      })),
    shmSizeBytes: plan.shmSizeBytes,
    ...(plan.lease
      ? {
          network: {
            interfaceName: plan.lease.interfaceName,
            ip: plan.lease.ip,
            prefixLength: plan.lease.prefixLength,
            gateway: plan.lease.gateway,
          },
        }
      : {}),
    hostsFile: plan.hostsFile,
    resolvConf: plan.resolvConf,
    sysctls: plan.sysctls,
    unixTimeMs: facts.unixTimeMs,
    entropy: facts.entropy,
  };
}

export interface ProcessRights {
  capabilities: string[];
  ulimits?: StartPlan['ulimits'];
  init?: boolean;
  pidsLimit?: number | undefined;
}

export function guestProcess(spec: ProcessSpec, rights: ProcessRights): GuestProcess {
  return {
    ...spec,
    capabilities: rights.capabilities,
    ulimits: rights.ulimits ?? [],
    noNewPrivileges: true,
    init: rights.init ?? false,
    ...(rights.pidsLimit && rights.pidsLimit > 0 ? { pidsLimit: rights.pidsLimit } : {}),
  };
}

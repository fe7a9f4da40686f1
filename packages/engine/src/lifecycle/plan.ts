/** From record and image to everything a driver needs. Pure. */
import { BulkheadError } from '@bulkhead/contract';
import type { InstanceRecord, Lease } from '../domain/instance.ts';
import type { MountSpec, PortMapping } from '../domain/task.ts';
import type { ProcessSpec, StartPlan } from '../ports/driver.ts';
import type { ImageConfig, ImageRecord } from '../ports/images.ts';
import type { Storage } from '../ports/storage.ts';
import { chooseCapabilities } from './capabilities.ts';
import { hostsFile, resolvConf } from './etc-files.ts';
import { mergeProcess } from './process.ts';
import { checkTarget } from './task-checks.ts';

export const hostnameOf = (record: InstanceRecord): string => record.spec.hostname ?? record.id.slice(0, 12);

export const processOf = (record: InstanceRecord, image: ImageRecord): ProcessSpec =>
  mergeProcess(record.spec, image.config, hostnameOf(record));

/** Names other instances of its network find it by. */
export function dnsNames(record: InstanceRecord): string[] {
  const { hostname, networkAliases } = record.spec;
  return [...new Set([record.name, ...(hostname ? [hostname] : []), ...networkAliases, record.id.slice(0, 12)])];
}

/** What is asked for, and with `publishAll` every port the image exposes. */
export function portsOf(record: InstanceRecord, image: ImageConfig): PortMapping[] {
  if (!record.spec.publishAll) return record.spec.ports;
  const asked = new Set(record.spec.ports.map((port) => `${port.port}/${port.protocol}`));
  const exposed = image.exposedPorts.flatMap((text): PortMapping[] => {
    const match = /^(\d{1,5})(?:\/(tcp|udp))?$/.exec(text);
    const protocol = match?.[2] === 'udp' ? 'udp' : 'tcp';
    if (!match || asked.has(`${match[1]}/${protocol}`)) return [];
    return [{ hostIp: '0.0.0.0', hostPort: 0, port: Number(match[1]), protocol }];
  });
  return [...record.spec.ports, ...exposed];
}

/** The image's VOLUMEs that no mount of the task covers, as anonymous volumes. Throws `archive_rejected` for one that leads out. */
export function imageVolumes(mounts: MountSpec[], image: ImageConfig, newName: () => string): MountSpec[] {
  const targets = new Set(mounts.map((mount) => mount.target));
  return image.volumes.flatMap((path): MountSpec[] => {
    let target: string;
    try {
      target = checkTarget(path);
    } catch (error) {
      throw new BulkheadError('archive_rejected', `the image declares the volume ${JSON.stringify(path)}`, {
        cause: error,
      });
    }
    if (targets.has(target)) return [];
    targets.add(target);
    return [{ type: 'volume', source: newName(), target, readOnly: false }];
  });
}

export function startPlan(
  record: InstanceRecord,
  image: ImageRecord,
  storage: Storage,
  lease: Lease | undefined,
): StartPlan {
  const { spec } = record;
  const hostname = hostnameOf(record);
  const mounts = spec.mounts
    .map((mount): MountSpec => {
      if (mount.type === 'volume') return { ...mount, type: 'bind', source: storage.volumePath(mount.source) };
      // Who is not trusted does not write to the host as its root, not even where it was granted a folder.
      return mount.type === 'bind' ? { ...mount, hostOwners: spec.trust === 'trusted' } : mount;
    })
    // A mount below another must come after it.
    .sort((a, b) => a.target.split('/').length - b.target.split('/').length);
  return {
    id: record.id,
    name: record.name,
    hostname,
    ...(spec.domainname ? { domainname: spec.domainname } : {}),
    process: processOf(record, image),
    layers: image.layers,
    readOnlyRoot: spec.readOnlyRoot,
    mounts,
    limits: spec.limits,
    ulimits: spec.ulimits,
    shmSizeBytes: spec.shmSizeBytes,
    sysctls: spec.sysctls,
    capabilities: chooseCapabilities(spec.capAdd, spec.capDrop, spec.privileged).final,
    init: spec.init,
    ...(lease ? { lease } : {}),
    hostsFile: hostsFile(spec, hostname, lease),
    resolvConf: resolvConf(spec, lease),
    logPath: storage.logPath(record.id),
    logMaxBytes: spec.log.maxSizeBytes,
  };
}

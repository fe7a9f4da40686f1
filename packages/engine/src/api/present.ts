/** Records as the API shows them. */
import type * as T from '@bulkhead/contract';
import type { InstanceRecord } from '../domain/instance.ts';
import type { ProcessSpec } from '../ports/driver.ts';
import type { ImageRecord } from '../ports/images.ts';

export function summary(record: InstanceRecord, image: ImageRecord | undefined): T.InstanceSummary {
  const { spec } = record;
  const entrypoint = spec.entrypoint ?? image?.config.entrypoint ?? [];
  const command = spec.command ?? (spec.entrypoint ? [] : (image?.config.cmd ?? []));
  return {
    id: record.id,
    name: record.name,
    image: spec.image,
    imageId: record.imageId,
    command: [...entrypoint, ...command],
    level: record.decision.level,
    trust: spec.trust,
    state: record.state,
    health: record.health,
    ...(record.exitCode === undefined ? {} : { exitCode: record.exitCode }),
    oomKilled: record.oomKilled,
    ...(record.error === undefined ? {} : { error: record.error }),
    restartCount: record.restartCount,
    ports: record.ports ?? [],
    networks: [spec.network],
    ...(record.lease ? { ip: record.lease.ip } : {}),
    labels: { ...image?.config.labels, ...spec.labels },
    mounts: spec.mounts.filter((mount) => mount.type !== 'tmpfs').map((mount) => mount.source),
    createdAt: record.createdAt,
    ...(record.startedAt === undefined ? {} : { startedAt: record.startedAt }),
    ...(record.finishedAt === undefined ? {} : { finishedAt: record.finishedAt }),
  };
}

export function detail(
  record: InstanceRecord,
  image: ImageRecord | undefined,
  found: { process: ProcessSpec; driver: Record<string, string> },
  logPath: string,
): T.InstanceDetail {
  const { args, env, cwd, user } = found.process;
  return {
    summary: summary(record, image),
    spec: record.spec,
    process: { args, env, cwd, user },
    decision: record.decision,
    driver: found.driver,
    logPath,
    ...(record.lease ? { lease: record.lease } : {}),
  };
}

export function imageSummary(image: ImageRecord): T.ImageSummary {
  const { id, tags, repoDigests, architecture, os, createdAt, sizeBytes, layers, config } = image;
  return { id, tags, repoDigests, architecture, os, createdAt, sizeBytes, layers, config };
}

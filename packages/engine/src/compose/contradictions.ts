/** What one service says twice and differently: each is refused where the second is written. */
import type { AppService } from '../domain/app.ts';
import { get, itemsOf, type MapTree, refuse, type Tree, textOf } from './tree.ts';

export function refuseContradictions(service: Tree, meant: AppService): void {
  refuseJobThatServes(service, meant);
  refuseTwoWriters(service, meant);
  const { memoryBytes } = meant.task.limits ?? {};
  const reserved = get(get(get(get(service, 'deploy'), 'resources'), 'reservations'), 'memory');
  if (memoryBytes && (meant.reservations.memoryBytes ?? 0) > memoryBytes)
    refuse(
      (reserved ?? get(service, 'mem_reservation') ?? service).at,
      `the reserved memory ${textOf(reserved ?? get(service, 'mem_reservation'))} is above the memory limit`,
      'Reserve at most the limit.',
    );
  const mounted = new Set<string>();
  for (const item of [...itemsOf(get(service, 'volumes')), ...itemsOf(get(service, 'tmpfs'))]) {
    const target = get(item, 'target') ?? item;
    const path = (textOf(target) ?? '').replace(/:.*$/, '').replace(/(.)\/+$/, '$1');
    if (mounted.has(path))
      refuse(target.at, `something is already mounted at ${path}`, 'Give one of them another target.');
    mounted.add(path);
  }
}

function refuseJobThatServes(service: Tree, { name, job, replicas, ingress }: AppService): void {
  if (!job) return;
  if (ingress[0])
    refuse(
      ingress[0].source,
      `${name} is a job and has an ingress`,
      'A job serves no requests: take one of the two out.',
    );
  const written = get(get(service, 'deploy'), 'replicas') ?? get(service, 'scale');
  if (replicas > 1 && written)
    refuse(written.at, `${name} is a job and has ${replicas} replicas`, 'A job runs once: take the replicas out.');
}

function refuseTwoWriters(service: Tree, { name, singleWriter, update }: AppService): void {
  if (!singleWriter) return;
  const strategy = get(get(get(service, 'x-bulkhead'), 'release'), 'strategy');
  if (strategy && textOf(strategy) !== 'stop-first')
    refuse(
      strategy.at,
      `${name} is a single writer, but ${textOf(strategy)} starts the new one beside the old one`,
      'Write `strategy: stop-first`, or leave it out.',
    );
  const canary = get(get(get(service, 'x-bulkhead'), 'release'), 'canary');
  if (canary) refuse(canary.at, `${name} is a single writer and has a canary`, 'Take the canary out.');
  const order = get(get(get(service, 'deploy'), 'update_config'), 'order');
  if (order && update.order === 'start-first')
    refuse(order.at, `${name} is a single writer, but start-first runs two at once`, 'Write `order: stop-first`.');
}

/** Two volumes of one list at one target; a later file may still replace one. */
export function refuseSharedTargets(project: MapTree): void {
  const services = get(project, 'services');
  for (const { value } of services?.kind === 'map' ? services.entries.values() : []) {
    const seen = new Set<string>();
    for (const item of itemsOf(get(value, 'volumes'))) {
      const target = get(item, 'target');
      const path = (textOf(target) ?? '').replace(/(.)\/+$/, '$1');
      if (target && seen.has(path))
        refuse(target.at, `something is already mounted at ${path}`, 'Give one of them another target.');
      seen.add(path);
    }
  }
}

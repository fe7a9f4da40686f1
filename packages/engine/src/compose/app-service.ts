/** One canonical service to a service of the app; every name it refers to is checked against the project. */
import type { AppService, BuildRequest, FileGrant, ReleaseConfiguration } from '../domain/app.ts';
import type { Trust } from '../domain/level.ts';
import { refuseContradictions } from './contradictions.ts';
import { egressGrants } from './egress.ts';
import { jobOf } from './job.ts';
import { bytesOf, durationMsOf, flagOf, modeOf, numberOf } from './quantities.ts';
import { imageOf, platformOf } from './service-image.ts';
import {
  changeConfiguration,
  healthProbe,
  hooks,
  ingressRoutes,
  preStartHooks,
  releaseConfiguration,
} from './service-release.ts';
import { labelsOf, serviceTask } from './service-task.ts';
import { dependencies, memberships, networkModeOf } from './service-ties.ts';
import { checkTaskPlaces } from './task-places.ts';
import { type Entry, entriesOf, get, itemsOf, refuse, type Tree, textOf } from './tree.ts';

export interface ProjectNames {
  services: string[];
  networks: string[];
  /** Key to name on the host, and whether it has a single writer. */
  volumes: Map<string, { name: string; singleWriter: boolean }>;
  secrets: string[];
  configs: string[];
}

interface ServiceContext {
  app: string;
  names: ProjectNames;
  /** The app's own x-bulkhead. */
  defaults: Tree | undefined;
  /** NAME=VALUE, worked out of env_file and environment. */
  env: string[];
}

const PULL: Record<string, AppService['pull']> = {
  always: 'always',
  never: 'never',
  missing: 'missing',
  if_not_present: 'missing',
  build: 'build',
  daily: 'always',
  weekly: 'always',
};

export function appService(name: string, { keyAt, value: service }: Entry, context: ServiceContext): AppService {
  const { names, defaults, env } = context;
  const extension = get(service, 'x-bulkhead');
  const deploy = get(service, 'deploy');
  const image = imageOf(service);
  const buildTree = get(service, 'build');
  if (image === undefined && !buildTree)
    refuse(keyAt, `the service ${name} has neither image nor build`, 'Add `image:` or `build:`.');
  let writesAlone = flagOf(get(extension, 'single-writer')) ?? false;
  const volumeName = (key: string, at: Tree): string => {
    const volume = names.volumes.get(key);
    if (!volume)
      refuse(at.at, `the volume ${key} is not declared`, `Add it under \`volumes:\` at the top: \`${key}: {}\`.`);
    if (volume.singleWriter) writesAlone = true;
    return volume.name;
  };
  const task = serviceTask(service, env, volumeName);
  checkTaskPlaces(service, task);
  const trust = textOf(get(extension, 'trust')) ?? textOf(get(defaults, 'trust'));
  if (trust !== undefined) task.trust = trust as Trust;
  const policy = textOf(get(service, 'pull_policy')) ?? 'missing';
  const startInterval = get(get(service, 'healthcheck'), 'start_interval');
  const restartPolicy = get(deploy, 'restart_policy');
  const delay = get(restartPolicy, 'delay');
  const window = get(restartPolicy, 'window');
  const probe = healthProbe(get(extension, 'health'));
  const job = jobOf(get(extension, 'job'));
  const egress = egressGrants(get(extension, 'egress') ?? get(defaults, 'egress'), names.secrets);
  const platform = platformOf(service);
  const mode = get(service, 'network_mode');
  const networkMode = mode ? networkModeOf(mode, service) : undefined;
  const replicas = replicasOf(service, deploy, writesAlone);
  const release = releaseConfiguration(get(extension, 'release'), get(defaults, 'release'));
  const meant: AppService = {
    name,
    source: keyAt,
    image: image ?? `${context.app}-${name}`,
    ...(buildTree ? { build: buildOf(buildTree) } : {}),
    pull: PULL[policy] ?? 'always',
    ...(platform === undefined ? {} : { platform }),
    task,
    replicas,
    global: textOf(get(deploy, 'mode')) === 'global',
    profiles: itemsOf(get(service, 'profiles')).map((item) => textOf(item) ?? ''),
    dependsOn: dependencies(name, service, names.services),
    networks: networkMode === undefined ? memberships(name, service, names.networks) : [],
    ...(networkMode === undefined || networkMode === 'bridge' ? {} : { networkMode }),
    expose: itemsOf(get(service, 'expose')).map(exposed),
    secrets: grants(get(service, 'secrets'), names.secrets, 'secret'),
    configs: grants(get(service, 'configs'), names.configs, 'config'),
    ...(probe ? { healthProbe: probe } : {}),
    ...(startInterval ? { healthStartIntervalMs: durationMsOf(startInterval, 'healthcheck.start_interval') } : {}),
    reservations: reservations(service, deploy),
    ...(delay ? { restartDelayMs: durationMsOf(delay, 'restart_policy.delay') } : {}),
    ...(window ? { restartWindowMs: durationMsOf(window, 'restart_policy.window') } : {}),
    update: changeConfiguration(get(deploy, 'update_config'), 'rollback'),
    rollback: changeConfiguration(get(deploy, 'rollback_config'), 'pause'),
    release: writesAlone ? alone(release) : release,
    ingress: ingressRoutes(get(extension, 'ingress')),
    preStart: preStartHooks(get(service, 'pre_start')),
    postStart: hooks(get(service, 'post_start')),
    preStop: hooks(get(service, 'pre_stop')),
    ...(job ? { job } : {}),
    singleWriter: writesAlone,
    ...(egress ? { egress } : {}),
    deployLabels: labelsOf(get(deploy, 'labels')),
  };
  refuseContradictions(service, meant);
  return meant;
}

function replicasOf(service: Tree, deploy: Tree | undefined, writesAlone: boolean): number {
  const scale = get(service, 'scale');
  const declared = get(deploy, 'replicas');
  if (scale && declared && textOf(scale) !== textOf(declared))
    refuse(
      scale.at,
      `scale ${textOf(scale)} and deploy.replicas ${textOf(declared)} contradict each other`,
      'Keep one of the two.',
    );
  const tree = declared ?? scale;
  const mode = get(deploy, 'mode');
  if (mode && textOf(mode)!.endsWith('-job'))
    refuse(
      mode.at,
      `deploy.mode ${textOf(mode)} is not supported`,
      'Write `x-bulkhead: {job: pre-release}`, post-release or {schedule: "0 3 * * *"}.',
      'compose_unsupported',
    );
  if (tree && textOf(mode) === 'global' && textOf(tree) !== '1')
    refuse(tree.at, `deploy.mode global is one instance, not ${textOf(tree)}`, 'Keep one of mode and replicas.');
  if (!tree) return 1;
  const replicas = numberOf(tree, 'the number of replicas', { max: 1000, whole: true });
  if (writesAlone && replicas > 1)
    refuse(
      tree.at,
      `${replicas} replicas cannot share a single-writer service or volume`,
      'Use one replica, or take single-writer out.',
    );
  return replicas;
}

/** What the app says for all of its services is not meant for one that must not run twice. */
function alone({ canary: _canary, ...release }: ReleaseConfiguration): ReleaseConfiguration {
  return { ...release, strategy: 'stop-first' };
}

function grants(tree: Tree | undefined, known: string[], what: 'secret' | 'config'): FileGrant[] {
  return itemsOf(tree).map((item) => {
    const source = get(item, 'source')!;
    const name = textOf(source) ?? '';
    if (!known.includes(name))
      refuse(source.at, `the ${what} ${name} is not declared`, `Add it under \`${what}s:\` at the top.`);
    const target = textOf(get(item, 'target')) ?? name;
    if (target.split('/').includes('..'))
      refuse(get(item, 'target')!.at, `the target ${JSON.stringify(target)} holds ".."`, 'Write an absolute path.');
    const directory = what === 'secret' ? '/run/secrets/' : '/';
    const mode = get(item, 'mode');
    return {
      name,
      target: target.startsWith('/') ? target : directory + target,
      uid: textOf(get(item, 'uid')) ?? '0',
      gid: textOf(get(item, 'gid')) ?? '0',
      mode: mode ? modeOf(mode) : 0o444,
    };
  });
}

function reservations(service: Tree, deploy: Tree | undefined): AppService['reservations'] {
  const reserved = get(get(deploy, 'resources'), 'reservations');
  const memory = get(reserved, 'memory') ?? get(service, 'mem_reservation');
  const cpus = get(reserved, 'cpus');
  return {
    ...(memory ? { memoryBytes: bytesOf(memory, 'the reserved memory') } : {}),
    ...(cpus ? { cpus: numberOf(cpus, 'the reserved CPUs') } : {}),
  };
}

function exposed(item: Tree): string {
  const text = textOf(item) ?? '';
  if (!/^\d{1,5}(-\d{1,5})?(\/(tcp|udp))?$/.test(text))
    refuse(item.at, `the exposed port ${JSON.stringify(text)} is not a port`, 'Write it like 8080 or 53/udp.');
  for (const part of text.replace(/\/.*/, '').split('-'))
    if (Number(part) < 1 || Number(part) > 65535)
      refuse(item.at, `the exposed port ${part} is not from 1 to 65535`, 'Write it like 8080 or 53/udp.');
  return text;
}

function buildOf(tree: Tree): BuildRequest {
  const context = get(tree, 'context');
  const inline = textOf(get(tree, 'dockerfile_inline'));
  const dockerfile = get(tree, 'dockerfile');
  if (!context && inline === undefined) refuse(tree.at, 'build lacks its context', 'Add `context: .`.');
  if (inline !== undefined && dockerfile)
    refuse(dockerfile.at, 'build has both dockerfile and dockerfile_inline', 'Keep one of the two.');
  const target = textOf(get(tree, 'target'));
  return {
    context: textOf(context) ?? '.',
    ...(dockerfile ? { dockerfile: textOf(dockerfile)! } : {}),
    ...(inline === undefined ? {} : { dockerfileInline: inline }),
    args: Object.fromEntries(entriesOf(get(tree, 'args')).map(([key, { value }]) => [key, textOf(value) ?? null])),
    ...(target === undefined ? {} : { target }),
    labels: labelsOf(get(tree, 'labels')),
    tags: itemsOf(get(tree, 'tags')).map((item) => textOf(item) ?? ''),
    noCache: flagOf(get(tree, 'no_cache')) ?? false,
    pull: flagOf(get(tree, 'pull')) ?? false,
  };
}

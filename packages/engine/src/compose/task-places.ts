/** Asks the engine's own check of tasks about each part of a service, so that what a create would refuse is refused at its line. */
import { BulkheadError, type CreateInstance } from '@bulkhead/contract';
import type { ServiceTask } from '../domain/app.ts';
import { checkTask } from '../lifecycle/task-checks.ts';
import { taskOf } from '../lifecycle/task-request.ts';
import { entriesOf, get, itemsOf, type Place, refuse, type Tree } from './tree.ts';

interface Part {
  at: Place;
  request: Partial<CreateInstance>;
  hint: string;
}

/** `task` is what `service` was turned into: its lists are in the order of the file. */
export function checkTaskPlaces(service: Tree, task: ServiceTask): void {
  refuseHostPowers(service, task);
  for (const part of [...names(service, task), ...lists(service, task), ...limits(service, task)]) check(part);
}

function check({ at, request, hint }: Part): void {
  try {
    // How many CPUs the host has is asked when the release is planned.
    checkTask(taskOf({ image: 'any', ...request }), Number.POSITIVE_INFINITY);
  } catch (error) {
    if (!(error instanceof BulkheadError)) throw error;
    refuse(at, error.message, hint, error.code === 'not_granted' ? 'compose_unsupported' : 'compose_invalid');
  }
}

/** What no policy could grant. */
function refuseHostPowers(service: Tree, task: ServiceTask): void {
  const unsupported = (tree: Tree | undefined, what: string, hint: string): void => {
    if (tree) refuse(tree.at, `${what} is not supported`, hint, 'compose_unsupported');
  };
  if (task.privileged)
    unsupported(get(service, 'privileged'), 'privileged', 'Name what the service needs by `cap_add`.');
  unsupported(itemsOf(get(service, 'devices'))[0], 'a device of the host', 'Run what needs it outside of Bulkhead.');
}

function* names(service: Tree, task: ServiceTask): Iterable<Part> {
  const at = (key: string): Place => get(service, key)!.at;
  if (task.hostname !== undefined)
    yield { at: at('hostname'), request: { hostname: task.hostname }, hint: 'Use letters, digits and -, at most 64.' };
  if (task.domainname !== undefined)
    yield { at: at('domainname'), request: { domainname: task.domainname }, hint: 'Write it like shop.example.com.' };
  if (task.workdir !== undefined)
    yield { at: at('working_dir'), request: { workdir: task.workdir }, hint: 'Begin it with /.' };
  if (task.stopSignal !== undefined)
    yield {
      at: at('stop_signal'),
      request: { stopSignal: task.stopSignal },
      hint: 'Write a name like SIGTERM, or a number from 1 to 64.',
    };
}

function* lists(service: Tree, task: ServiceTask): Iterable<Part> {
  const items = (key: string): Tree[] => itemsOf(get(service, key));
  for (const [index, item] of items('cap_add').entries())
    yield { at: item.at, request: { capAdd: [task.capAdd![index]!] }, hint: 'Write it like NET_ADMIN.' };
  for (const [index, item] of items('cap_drop').entries())
    yield { at: item.at, request: { capDrop: [task.capDrop![index]!] }, hint: 'Write it like NET_RAW, or ALL.' };
  for (const [index, item] of items('extra_hosts').entries())
    yield {
      at: item.at,
      request: { extraHosts: [task.extraHosts![index]!] },
      hint: 'Write NAME=ADDRESS; host-gateway is the host.',
    };
  for (const [index, item] of items('dns').entries())
    yield { at: item.at, request: { dns: [task.dns![index]!] }, hint: 'Write an IP address.' };
  for (const [index, item] of items('dns_search').entries())
    yield { at: item.at, request: { dnsSearch: [task.dnsSearch![index]!] }, hint: 'Write it like example.com.' };
  for (const [index, item] of items('ports').entries())
    yield {
      at: (get(item, 'host_ip') ?? item).at,
      request: { ports: [task.ports![index]!] },
      hint: 'Write an IP address of this host, or leave it out.',
    };
  for (const [index, item] of [...items('volumes'), ...items('tmpfs')].entries())
    yield {
      at: (get(item, 'target') ?? item).at,
      request: { mounts: [task.mounts![index]!] },
      hint: 'Mount it at a directory of its own, like /data.',
    };
  for (const [index, [, { keyAt }]] of entriesOf(get(service, 'ulimits')).entries())
    yield {
      at: keyAt,
      request: { ulimits: [task.ulimits![index]!] },
      hint: 'Names are those of setrlimit(2) like nofile; soft is at most hard, -1 is no limit.',
    };
  for (const [name, { keyAt }] of entriesOf(get(service, 'sysctls')))
    yield {
      at: keyAt,
      request: { sysctls: { [name]: task.sysctls![name]! } },
      hint: 'Use net.*, kernel.shm*, kernel.msg*, kernel.sem or fs.mqueue.*; set others on the host.',
    };
}

function* limits(service: Tree, task: ServiceTask): Iterable<Part> {
  const deployed = get(get(get(service, 'deploy'), 'resources'), 'limits');
  const { memoryBytes, cpus, pids, cpuShares, cpusetCpus } = task.limits ?? {};
  const hint = 'Raise it, or take it out: then there is no limit of its own.';
  const at = (tree: Tree | undefined): Place => (tree ?? service).at;
  if (memoryBytes !== undefined)
    yield { at: at(get(deployed, 'memory') ?? get(service, 'mem_limit')), request: { limits: { memoryBytes } }, hint };
  if (cpus !== undefined) {
    const written = get(deployed, 'cpus') ?? get(service, 'cpus') ?? get(service, 'cpu_quota');
    yield { at: at(written), request: { limits: { cpus } }, hint };
  }
  if (pids !== undefined)
    yield { at: at(get(deployed, 'pids') ?? get(service, 'pids_limit')), request: { limits: { pids } }, hint };
  if (cpuShares !== undefined)
    yield { at: at(get(service, 'cpu_shares')), request: { limits: { cpuShares } }, hint: 'The default is 1024.' };
  if (cpusetCpus !== undefined)
    yield { at: at(get(service, 'cpuset')), request: { limits: { cpusetCpus } }, hint: 'Write it like 0-2,4.' };
}

/** A canonical service to what its tasks are created with. */
import type { ServiceTask } from '../domain/app.ts';
import type { Level } from '../domain/level.ts';
import type { Limits, PortMapping, RestartPolicy, Ulimit } from '../domain/task.ts';
import { bytesOf, durationMsOf, flagOf, numberOf } from './quantities.ts';
import { log } from './service-log.ts';
import { mounts } from './service-mounts.ts';
import { entriesOf, get, itemsOf, placeText, refuse, type Tree, textOf } from './tree.ts';

const texts = (tree: Tree | undefined): string[] => itemsOf(tree).map((item) => textOf(item) ?? '');

export function labelsOf(tree: Tree | undefined): Record<string, string> {
  return Object.fromEntries(entriesOf(tree).map(([key, { value }]) => [key, textOf(value) ?? '']));
}

/** `volumes` gives a named volume its name on the host. */
export function serviceTask(service: Tree, env: string[], volumeName: (key: string, at: Tree) => string): ServiceTask {
  const task: ServiceTask = { env };
  const set = <K extends keyof ServiceTask>(key: K, value: ServiceTask[K] | undefined): void => {
    if (value !== undefined) task[key] = value;
  };
  const some = (key: string): string[] | undefined => (get(service, key) ? texts(get(service, key)) : undefined);
  // An empty word is none, as in `user: ${USER_ID:-}`.
  const word = (key: string): string | undefined => textOf(get(service, key)) || undefined;
  const when = <V>(key: string, read: (tree: Tree) => V): V | undefined => {
    const tree = get(service, key);
    return tree === undefined ? undefined : read(tree);
  };
  set('command', some('command'));
  set('entrypoint', some('entrypoint'));
  set('workdir', word('working_dir'));
  const user = word('user');
  if (user !== undefined && !/^[^:\s]+(:[^:\s]+)?$/.test(user))
    refuse(
      get(service, 'user')!.at,
      `${JSON.stringify(user)} is not a user`,
      'Write USER or USER:GROUP, names or ids.',
    );
  set('user', user);
  set('groupAdd', some('group_add'));
  set('hostname', word('hostname'));
  set('domainname', word('domainname'));
  set('labels', when('labels', labelsOf));
  set('tty', flagOf(get(service, 'tty')));
  set('openStdin', flagOf(get(service, 'stdin_open')));
  set('limits', limits(service));
  set('mounts', mounts(service, volumeName));
  set('readOnlyRoot', flagOf(get(service, 'read_only')));
  set('ports', when('ports', ports));
  set(
    'extraHosts',
    when('extra_hosts', (tree) => texts(tree).map((text) => text.replace('=', ':'))),
  );
  set('dns', some('dns'));
  set('dnsSearch', some('dns_search'));
  set('restart', restart(service));
  set('healthCheck', when('healthcheck', healthCheck));
  set('stopSignal', word('stop_signal'));
  set(
    'stopTimeoutMs',
    when('stop_grace_period', (tree) => durationMsOf(tree, 'stop_grace_period')),
  );
  set('init', flagOf(get(service, 'init')));
  set('capAdd', some('cap_add'));
  set('capDrop', some('cap_drop'));
  set('privileged', flagOf(get(service, 'privileged')));
  set(
    'devices',
    when('devices', (tree) =>
      itemsOf(tree).map((item) =>
        ['source', 'target', 'permissions']
          .map((key) => textOf(get(item, key)))
          .filter((part) => part !== undefined)
          .join(':'),
      ),
    ),
  );
  set('sysctls', when('sysctls', labelsOf));
  set('ulimits', when('ulimits', ulimits));
  set(
    'shmSizeBytes',
    when('shm_size', (tree) => bytesOf(tree, 'shm_size')),
  );
  set('log', when('logging', log));
  const isolation = textOf(get(service, 'isolation'));
  if (isolation !== undefined && isolation !== 'default') task.isolation = isolation as Level;
  for (const option of itemsOf(get(service, 'security_opt'))) checkSecurityOption(option);
  return task;
}

/** No new privileges is always on; anything that takes a defence away is refused. */
function checkSecurityOption(option: Tree): void {
  if (/^no-new-privileges([:=]true)?$/.test(textOf(option) ?? '')) return;
  refuse(
    option.at,
    `security_opt ${JSON.stringify(textOf(option))} is not supported`,
    'Only no-new-privileges:true is, and it is always on; remove the option, or choose a level by `isolation`.',
    'compose_unsupported',
  );
}

function limits(service: Tree): Limits | undefined {
  const found: Limits = {};
  const deployed = get(get(get(service, 'deploy'), 'resources'), 'limits');
  const pick = (legacy: string, modern: string): Tree | undefined => {
    const [old, fresh] = [get(service, legacy), get(deployed, modern)];
    if (old && fresh && textOf(old) !== textOf(fresh)) {
      refuse(
        old.at,
        `${legacy} ${textOf(old)} and deploy.resources.limits.${modern} ${textOf(fresh)} (${placeText(fresh.at)}) contradict each other`,
        'Keep one of the two.',
      );
    }
    return fresh ?? old;
  };
  const memory = pick('mem_limit', 'memory');
  if (memory) found.memoryBytes = bytesOf(memory, 'the memory limit');
  const cpus = pick('cpus', 'cpus');
  if (cpus) found.cpus = numberOf(cpus, 'cpus');
  const quota = get(service, 'cpu_quota');
  if (!cpus && quota) {
    const period = get(service, 'cpu_period');
    found.cpus = numberOf(quota, 'cpu_quota') / (period ? numberOf(period, 'cpu_period', { min: 1000 }) : 100_000);
  }
  const pids = pick('pids_limit', 'pids');
  if (pids) found.pids = numberOf(pids, 'the limit of processes', { min: -1, whole: true });
  const shares = get(service, 'cpu_shares');
  if (shares) found.cpuShares = numberOf(shares, 'cpu_shares', { whole: true });
  const cpuset = textOf(get(service, 'cpuset'));
  if (cpuset !== undefined) found.cpusetCpus = cpuset;
  const disk = get(get(service, 'storage_opt'), 'size');
  if (disk) found.diskBytes = bytesOf(disk, 'storage_opt.size');
  return Object.keys(found).length > 0 ? found : undefined;
}

function ports(tree: Tree): PortMapping[] {
  return itemsOf(tree).map((item) => {
    const published = get(item, 'published');
    const host = textOf(published) ?? '';
    if (published && host.includes('-'))
      refuse(
        published.at,
        `the host port ${JSON.stringify(host)} is a range for one port`,
        'Give one port, or leave it out: a free one is chosen.',
      );
    const target = get(item, 'target')!;
    return {
      hostIp: textOf(get(item, 'host_ip')) ?? '0.0.0.0',
      hostPort: published && host !== '' ? numberOf(published, 'the host port', { max: 65535, whole: true }) : 0,
      port: numberOf(target, 'the port', { min: 1, max: 65535, whole: true }),
      protocol: textOf(get(item, 'protocol')) === 'udp' ? 'udp' : 'tcp',
    };
  });
}

const CONDITION: Record<string, RestartPolicy['name']> = {
  none: 'no',
  any: 'always',
  'on-failure': 'on-failure',
  'unless-stopped': 'unless-stopped',
};

function restart(service: Tree): RestartPolicy | undefined {
  const policy = get(get(service, 'deploy'), 'restart_policy');
  const legacy = textOf(get(service, 'restart'));
  if (policy) {
    const name = CONDITION[textOf(get(policy, 'condition')) ?? 'any'] ?? 'always';
    const attempts = get(policy, 'max_attempts');
    if (attempts && name !== 'on-failure')
      refuse(
        attempts.at,
        `max_attempts counts only with the condition on-failure, here it is ${textOf(get(policy, 'condition')) ?? 'any'}`,
        'Write `condition: on-failure`, or take max_attempts out.',
        'compose_unsupported',
      );
    return {
      name,
      maxRetries: attempts ? numberOf(attempts, 'max_attempts', { whole: true }) : 0,
    };
  }
  if (legacy === undefined) return undefined;
  const [name, retries = '0'] = legacy.split(':');
  return { name: name as RestartPolicy['name'], maxRetries: Number(retries) };
}

function healthCheck(tree: Tree): ServiceTask['healthCheck'] {
  const test = get(tree, 'test');
  if (flagOf(get(tree, 'disable'))) return { test: ['NONE'] };
  if (!test) {
    const [time] = entriesOf(tree).filter(([key]) => get(tree, key) && key !== 'disable' && !key.startsWith('x-'));
    if (time)
      refuse(
        time[1].keyAt,
        `healthcheck has ${time[0]} but no test`,
        "Add `test:`; the image's own check keeps its own times.",
        'compose_unsupported',
      );
    return undefined;
  }
  const words = texts(test);
  if (!['NONE', 'CMD', 'CMD-SHELL'].includes(words[0] ?? '')) {
    refuse(
      itemsOf(test)[0]?.at ?? test.at,
      `healthcheck.test begins with ${JSON.stringify(words[0] ?? '')}`,
      'As a list it begins with CMD, CMD-SHELL or NONE.',
    );
  }
  if (words[0] !== 'NONE' && (words.length < 2 || words[1]!.trim() === ''))
    refuse(test.at, 'healthcheck.test has no command', 'Add the command after CMD or CMD-SHELL.');
  const timed = (key: string): number | undefined =>
    get(tree, key) ? durationMsOf(get(tree, key)!, `healthcheck.${key}`) : undefined;
  const [intervalMs, timeoutMs, startPeriodMs] = [timed('interval'), timed('timeout'), timed('start_period')];
  const retries = get(tree, 'retries');
  return {
    test: words,
    ...(intervalMs ? { intervalMs } : {}),
    ...(timeoutMs ? { timeoutMs } : {}),
    ...(startPeriodMs === undefined ? {} : { startPeriodMs }),
    ...(retries ? { retries: numberOf(retries, 'healthcheck.retries', { min: 1, whole: true }) } : {}),
  };
}

function ulimits(tree: Tree): Ulimit[] {
  return entriesOf(tree).map(([name, { value }]) => {
    const [soft, hard] =
      value.kind === 'map' ? [get(value, 'soft') ?? value, get(value, 'hard') ?? value] : [value, value];
    return {
      name,
      soft: numberOf(soft, `ulimit ${name}`, { min: -1, whole: true }),
      hard: numberOf(hard, `ulimit ${name}`, { min: -1, whole: true }),
    };
  });
}

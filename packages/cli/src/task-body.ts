/** Task flags to the body of a create or explain request. */
import { readFileSync } from 'node:fs';
import { BulkheadError } from '@bulkhead/contract/errors';
import type { CreateInstance, Level, Trust } from '@bulkhead/contract/types';
import type { Values } from './flags.ts';
import { parseMount, parsePublish, parseTmpfs, parseVolume } from './mounts.ts';
import { parseDuration, parseInteger, parseNumber, parseSize } from './quantities.ts';
import { absoluteReference } from './references.ts';

export interface Caller {
  cwd: string;
  env: NodeJS.ProcessEnv;
}

type Body = CreateInstance;

export function taskBody(flags: Values, args: readonly string[], caller: Caller): Body {
  const body: Body = { image: absoluteReference(args[0]!, caller.cwd) };
  // Only what was given is sent: the engine owns the defaults.
  const set = <K extends keyof Body>(key: K, value: Body[K] | undefined): void => {
    if (value !== undefined) body[key] = value;
  };
  const list = (name: string): string[] | undefined => (flags.has(name) ? flags.list(name) : undefined);
  const on = (name: string): true | undefined => (flags.on(name) ? true : undefined);

  set('command', args.length > 1 ? args.slice(1) : undefined);
  const entrypoint = flags.text('entrypoint');
  set('entrypoint', entrypoint === undefined ? undefined : entrypoint === '' ? [] : [entrypoint]);
  set('name', flags.text('name'));
  set('isolation', flags.text('isolation') as Level | undefined);
  set('trust', flags.text('trust') as Trust | undefined);
  set('env', environment(flags, caller));
  set('workdir', flags.text('workdir'));
  set('user', flags.text('user'));
  set('groupAdd', list('group-add'));
  set('hostname', flags.text('hostname'));
  set('domainname', flags.text('domainname'));
  set('labels', labels(flags));
  set('tty', on('tty'));
  set('openStdin', on('interactive'));
  set('limits', limits(flags));
  set('mounts', mounts(flags, caller.cwd));
  set('readOnlyRoot', on('read-only'));
  set('ports', flags.has('publish') ? flags.list('publish').flatMap(parsePublish) : undefined);
  set('publishAll', on('publish-all'));
  set('network', flags.text('network') ?? flags.text('net'));
  set('networkAliases', list('network-alias'));
  set('extraHosts', list('add-host'));
  set('dns', list('dns'));
  set('dnsSearch', list('dns-search'));
  set('restart', flags.has('restart') ? parseRestart(flags.text('restart')!) : undefined);
  set('healthCheck', healthCheck(flags));
  set('stopSignal', flags.text('stop-signal'));
  const stopTimeout = flags.text('stop-timeout');
  set('stopTimeoutMs', stopTimeout === undefined ? undefined : parseNumber(stopTimeout, '--stop-timeout') * 1000);
  set('init', on('init'));
  set('capAdd', list('cap-add'));
  set('capDrop', list('cap-drop'));
  set('privileged', on('privileged'));
  set('devices', list('device'));
  set('sysctls', flags.has('sysctl') ? pairs(flags.list('sysctl'), '--sysctl') : undefined);
  set('ulimits', flags.has('ulimit') ? flags.list('ulimit').map(parseUlimit) : undefined);
  set('shmSizeBytes', flags.has('shm-size') ? parseSize(flags.text('shm-size')!, '--shm-size') : undefined);
  set('autoRemove', on('rm'));
  set('log', logOptions(flags));
  set('pull', flags.text('pull') as Body['pull']);
  return body;
}

export function limits(flags: Values): Body['limits'] {
  const found: NonNullable<Body['limits']> = {};
  const memory = flags.text('memory');
  if (memory !== undefined) found.memoryBytes = parseSize(memory, '--memory');
  const cpus = flags.text('cpus');
  if (cpus !== undefined) found.cpus = parseNumber(cpus, '--cpus');
  const pids = flags.text('pids-limit');
  if (pids !== undefined) found.pids = parseInteger(pids, '--pids-limit', -1);
  const shares = flags.text('cpu-shares');
  if (shares !== undefined) found.cpuShares = parseInteger(shares, '--cpu-shares');
  const cpuset = flags.text('cpuset-cpus');
  if (cpuset !== undefined) found.cpusetCpus = cpuset;
  for (const option of flags.list('storage-opt')) {
    if (!option.startsWith('size=')) throw new BulkheadError('invalid_limit', `unknown storage option "${option}"`);
    found.diskBytes = parseSize(option.slice(5), '--storage-opt size');
  }
  return Object.keys(found).length > 0 ? found : undefined;
}

export function parseRestart(text: string): NonNullable<Body['restart']> {
  const [name, retries] = text.split(':', 2) as [string, string?];
  if (name !== 'no' && name !== 'always' && name !== 'on-failure' && name !== 'unless-stopped')
    throw new BulkheadError('usage', `unknown restart policy "${text}"`, {
      hint: 'Use no, on-failure[:N], always or unless-stopped.',
    });
  if (retries === undefined) return { name };
  if (name !== 'on-failure')
    throw new BulkheadError('usage', `the restart policy ${name} takes no number`, { hint: 'Use on-failure:N.' });
  return { name, maxRetries: parseInteger(retries, '--restart on-failure') };
}

function mounts(flags: Values, cwd: string): Body['mounts'] {
  const found = [
    ...flags.list('volume').map((text) => parseVolume(text, cwd)),
    ...flags.list('mount').map((text) => parseMount(text, cwd)),
    ...flags.list('tmpfs').map(parseTmpfs),
  ];
  return found.length > 0 ? found : undefined;
}

/** Also of `exec`. `NAME` alone takes the caller's value, and is left out where the caller has none. */
export function environment(flags: Values, caller: Caller): string[] | undefined {
  const texts = [...flags.list('env-file').flatMap((file) => readLines(file, '--env-file')), ...flags.list('env')];
  const found: string[] = [];
  for (const text of texts) {
    if (text === '' || text.startsWith('='))
      throw new BulkheadError('usage', `invalid variable "${text}"`, { hint: 'Write NAME=VALUE.' });
    if (text.includes('=')) found.push(text);
    else if (caller.env[text] !== undefined) found.push(`${text}=${caller.env[text]}`);
  }
  return found.length > 0 ? found : undefined;
}

function labels(flags: Values): Record<string, string> | undefined {
  const texts = [
    ...flags.list('label-file').flatMap((file) => readLines(file, '--label-file')),
    ...flags.list('label'),
  ];
  return texts.length > 0 ? pairs(texts, '--label', '') : undefined;
}

/** `NAME=VALUE` texts; `otherwise` is the value of a NAME alone, which is refused without it. */
export function pairs(texts: readonly string[], flag: string, otherwise?: string): Record<string, string> {
  const found: [string, string][] = [];
  for (const text of texts) {
    const at = text.indexOf('=');
    if (at === 0 || text === '' || (at < 0 && otherwise === undefined))
      throw new BulkheadError('usage', `invalid value "${text}" for ${flag}`, { hint: 'Write NAME=VALUE.' });
    found.push(at < 0 ? [text, otherwise!] : [text.slice(0, at), text.slice(at + 1)]);
  }
  return Object.fromEntries(found);
}

function readLines(file: string, flag: string): string[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new BulkheadError('usage', `cannot read ${file} of ${flag}: ${(cause as Error).message}`, {
      hint: 'Name a file that exists and can be read.',
      cause,
    });
  }
  return text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .map((line) => line.trimStart())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

function healthCheck(flags: Values): Body['healthCheck'] {
  if (flags.on('no-healthcheck')) return { test: ['NONE'] };
  const command = flags.text('health-cmd');
  const timing = {
    ...time(flags, 'health-interval', 'intervalMs'),
    ...time(flags, 'health-timeout', 'timeoutMs'),
    ...time(flags, 'health-start-period', 'startPeriodMs'),
    ...(flags.has('health-retries')
      ? { retries: parseInteger(flags.text('health-retries')!, '--health-retries', 1) }
      : {}),
  };
  if (command === undefined && Object.keys(timing).length === 0) return undefined;
  // An empty test keeps the image's own, as in the image specification.
  return { test: command === undefined ? [] : ['CMD-SHELL', command], ...timing };
}

function time(flags: Values, name: string, key: string): Record<string, number> {
  const text = flags.text(name);
  return text === undefined ? {} : { [key]: parseDuration(text, `--${name}`) };
}

function parseUlimit(text: string): { name: string; soft: number; hard: number } {
  const match = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(text);
  if (!match) throw new BulkheadError('invalid_limit', `invalid ulimit "${text}"`, { hint: 'Write NAME=SOFT[:HARD].' });
  const soft = Number(match[2]);
  return { name: match[1]!, soft, hard: match[3] === undefined ? soft : Number(match[3]) };
}

function logOptions(flags: Values): Body['log'] {
  const found: NonNullable<Body['log']> = {};
  for (const [key, value] of Object.entries(pairs(flags.list('log-opt'), '--log-opt'))) {
    if (key === 'max-size') found.maxSizeBytes = parseSize(value, '--log-opt max-size');
    else if (key === 'max-file') found.maxFiles = parseInteger(value, '--log-opt max-file', 1);
    else throw new BulkheadError('usage', `unknown log option "${key}"`, { hint: 'Use max-size or max-file.' });
  }
  return Object.keys(found).length > 0 ? found : undefined;
}

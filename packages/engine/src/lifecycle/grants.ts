/** Which accesses need a grant, and the refusal where there is none. */
import { BulkheadError } from '@bulkhead/contract';
import type { TaskSpec } from '../domain/task.ts';
import type { Access, Policy } from '../ports/policy.ts';
import { chooseCapabilities } from './capabilities.ts';

/** Trees that hold the host itself: a bind of one, of something below it or of a directory above it needs a grant. */
const HOST_TREES = [
  '/etc',
  '/proc',
  '/sys',
  '/dev',
  '/boot',
  '/usr',
  '/bin',
  '/sbin',
  '/lib',
  '/lib64',
  '/root',
  '/run',
];

const below = (path: string, tree: string): boolean => path === tree || path.startsWith(`${tree}/`);

/** `ownTrees`: the engine's own directories. `path` has every link resolved. */
export function isSensitiveBind(path: string, ownTrees: string[]): boolean {
  if (path === '/') return true;
  return [...HOST_TREES, '/var/run', ...ownTrees].some((tree) => below(path, tree) || below(tree, path));
}

function accesses(task: TaskSpec, binds: string[], ownTrees: string[]): Access[] {
  const found: Access[] = [];
  if (task.privileged) found.push({ kind: 'privileged' });
  for (const name of chooseCapabilities(task.capAdd, task.capDrop, task.privileged).beyond) {
    found.push({ kind: 'capability', name });
  }
  for (const path of task.devices) found.push({ kind: 'device', path });
  if (task.network === 'host') found.push({ kind: 'host-network' });
  for (const path of binds) {
    if (task.trust === 'untrusted' || isSensitiveBind(path, ownTrees)) found.push({ kind: 'bind', path });
  }
  return found;
}

function describe(access: Access): string {
  switch (access.kind) {
    case 'privileged':
      return 'privileged mode';
    case 'capability':
      return `the capability ${access.name}`;
    case 'device':
      return `the device ${access.path}`;
    case 'host-network':
      return "the host's own network";
    case 'bind':
      return `the host path ${access.path}`;
  }
}

/** What no policy could grant: it would be taken and have no effect. */
export function refuseUnsupported(task: TaskSpec): void {
  const refuse = (what: string, hint: string): never => {
    throw new BulkheadError('not_supported', `${what} is not supported`, { hint });
  };
  if (task.privileged) refuse('privileged mode', 'Name the capabilities the task needs: --cap-add.');
  if (task.devices.length > 0)
    refuse(`the device ${JSON.stringify(task.devices[0])}`, 'Run what needs a device of the host outside of Bulkhead.');
  if (task.network === 'host') refuse("the host's own network", 'Publish the ports the task serves: -p HOST:PORT.');
}

/** Throws `not_granted` for the first access the policy does not grant. `binds` are real host paths. */
export function checkGrants(task: TaskSpec, binds: string[], ownTrees: string[], policy: Policy): void {
  for (const access of accesses(task, binds, ownTrees)) {
    if (!policy.grants?.(task, access)) {
      throw new BulkheadError('not_granted', `the task asks for ${describe(access)}, which was not granted`);
    }
  }
}

/** Grants: accesses beyond the default that the policy gives by name. What no grant names is denied. */
import type { TaskSpec } from '../domain/task.ts';
import type { Access } from '../ports/policy.ts';
import type { Condition } from './condition.ts';
import { capabilityName, devicePath } from './facts.ts';

export interface Grant {
  /** Absent: for trusted tasks only. */
  when: Condition | undefined;
  /** `NET_ADMIN`, without `CAP_`. */
  capabilities: string[];
  /** Absolute; each gives itself and everything below it. */
  bindPaths: string[];
  devices: string[];
  hostNetwork: boolean;
  privileged: boolean;
}

const below = (path: string, tree: string): boolean =>
  tree === '/' || path === tree || path.startsWith(`${tree.replace(/\/+$/, '')}/`);

export function gives(grant: Grant, task: TaskSpec, access: Access, facts: Record<string, unknown>): boolean {
  if (grant.when === undefined ? task.trust !== 'trusted' : !grant.when(facts).matched) return false;
  switch (access.kind) {
    case 'privileged':
      return grant.privileged;
    case 'host-network':
      return grant.hostNetwork;
    case 'capability':
      // Privileged is all capabilities already.
      return (task.privileged && grant.privileged) || grant.capabilities.includes(capabilityName(access.name));
    case 'device':
      return grant.devices.includes(devicePath(access.path));
    case 'bind':
      return grant.bindPaths.some((path) => below(access.path, path));
  }
}

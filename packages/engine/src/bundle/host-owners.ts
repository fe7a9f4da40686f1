/** Folders of the host as their users know them: with the owners they have there, also below a folder closed to others. What cannot be shown so is shown as it is, and told. */
import type { MountSpec } from '../domain/task.ts';
import type { StartPlan } from '../ports/driver.ts';
import type { RootfsStore } from '../ports/rootfs.ts';

export function withHostOwners(plan: StartPlan, rootfs: RootfsStore): { mounts: MountSpec[]; unmapped: string[] } {
  const unmapped: string[] = [];
  const mounts = plan.mounts.map((mount) => {
    const { hostOwners, readOnly } = mount;
    if (hostOwners === undefined || rootfs.idMap() === undefined) return mount;
    const show = (as: boolean) => rootfs.showTree?.(plan.id, mount.source, { readOnly, hostOwners: as });
    const mapped = hostOwners ? show(true) : undefined;
    if (hostOwners && mapped === undefined) unmapped.push(mount.target);
    return { ...mount, source: mapped ?? show(false) ?? mount.source };
  });
  return { mounts, unmapped };
}

/** What `inspect` says of them. */
export function unmappedFact(unmapped: string[] = []): Record<string, string> {
  return unmapped.length > 0 ? { bindsWithForeignOwners: unmapped.join(', ') } : {};
}

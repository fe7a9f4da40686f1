/** Shows a tree of the host elsewhere, its owners mapped (host id n as n inside the user namespace) or not. It changes no file. */
import { closeSync, mkdirSync, readdirSync, rmdirSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  MNT_DETACH,
  MOUNT_ATTR_IDMAP,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  mountSetattr,
  moveMount,
  openTree,
  SyscallError,
  UMOUNT_NOFOLLOW,
  umount,
} from '../host/syscall.ts';

export interface ShownTree {
  source: string;
  target: string;
  /** Descriptor of the user namespace; without one the owners stay what they are. */
  userNamespace: number | undefined;
  readOnly: boolean;
}

/** With what is mounted below `source`. Throws where a file system in it cannot be mapped; nothing is mounted then. */
export function mountTree({ source, target, userNamespace, readOnly }: ShownTree): void {
  const detached = openTree(source);
  try {
    const mapped = userNamespace === undefined ? 0 : MOUNT_ATTR_IDMAP;
    const attributes = mapped | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | (readOnly ? MOUNT_ATTR_RDONLY : 0);
    // It makes them private, too: to unmount the copy would otherwise unmount what is below the source for the whole host.
    mountSetattr(detached, attributes, userNamespace, { recursive: true });
    makePlace(target, statSync(source).isDirectory());
    moveMount(detached, target);
  } finally {
    closeSync(detached);
  }
}

/** A file is mounted on a file. */
function makePlace(target: string, directory: boolean): void {
  if (directory) {
    mkdirSync(target, { recursive: true, mode: 0o711 });
    return;
  }
  mkdirSync(path.dirname(target), { recursive: true, mode: 0o711 });
  writeFileSync(target, '');
}

/** Unmounts everything directly below `folder` and removes it. Never recursive: what is still mounted is the host's own. */
export function removeTrees(folder: string): void {
  for (const name of listed(folder)) {
    const place = path.join(folder, name);
    while (unmounted(place));
    if (statSync(place).isDirectory()) rmdirSync(place);
    else unlinkSync(place);
  }
  if (statSync(folder, { throwIfNoEntry: false })) rmdirSync(folder);
}

/** False where nothing was mounted. */
function unmounted(place: string): boolean {
  try {
    umount(place, MNT_DETACH | UMOUNT_NOFOLLOW);
    return true;
  } catch (error) {
    if (error instanceof SyscallError && error.code === 'EINVAL') return false;
    throw error;
  }
}

export function listed(directory: string): string[] {
  return statSync(directory, { throwIfNoEntry: false }) ? readdirSync(directory) : [];
}

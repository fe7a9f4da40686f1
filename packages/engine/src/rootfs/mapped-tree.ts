/** Shows a tree of the host elsewhere, its owners mapped: host id n as n inside the user namespace. It changes no file. */
import { closeSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  MOUNT_ATTR_IDMAP,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_RDONLY,
  mountSetattr,
  moveMount,
  openTree,
} from '../host/syscall.ts';

export interface MappedTree {
  source: string;
  target: string;
  /** Descriptor of the user namespace. */
  userNamespace: number;
  readOnly: boolean;
  /** With what is mounted below `source`. */
  recursive: boolean;
}

/** Throws where a file system in it cannot be mapped; nothing is mounted then. */
export function mountMapped({ source, target, userNamespace, readOnly, recursive }: MappedTree): void {
  const detached = openTree(source, recursive);
  try {
    const attributes = MOUNT_ATTR_IDMAP | MOUNT_ATTR_NODEV | (readOnly ? MOUNT_ATTR_RDONLY : 0);
    mountSetattr(detached, attributes, userNamespace, { recursive });
    makePlace(target, statSync(source).isDirectory());
    moveMount(detached, target);
  } finally {
    closeSync(detached);
  }
}

/** Of the same file system as what is around it, so that its device number tells nothing. */
export function isListedMount(target: string): boolean {
  const shown = target.replace(
    /[ \t\n\\]/g,
    (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`,
  );
  return readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${shown} `);
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

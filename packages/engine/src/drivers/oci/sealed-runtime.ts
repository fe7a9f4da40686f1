/** The runtime's binary as a read-only mount of its own: nothing a task gets hold of through /proc can write to it. */
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { MNT_DETACH, MS_BIND, MS_NODEV, MS_NOSUID, MS_RDONLY, MS_REMOUNT, mount, umount } from '../../host/syscall.ts';

/**
 * Against CVE-2019-5736 crun copies itself at every start unless it finds itself on a read-only mount: 3 ms of each start.
 * Gives the path to call; the binary itself where it cannot be mounted.
 */
export function sealRuntime(binary: string, folder: string): string {
  const sealed = path.join(folder, path.basename(binary));
  try {
    if (sameFile(binary, sealed)) return sealed;
    unsealRuntime(sealed);
    mkdirSync(folder, { recursive: true, mode: 0o711 });
    writeFileSync(sealed, '', { mode: 0o755 });
    mount(binary, sealed, null, MS_BIND, null);
    mount(binary, sealed, null, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, null);
    return sealed;
  } catch {
    unsealRuntime(sealed);
    return binary;
  }
}

/** What runs keeps its own hold on the binary. Idempotent. */
export function unsealRuntime(sealed: string): void {
  // Below a mount lies the empty file it was put on.
  while (existsSync(sealed) && statSync(sealed).size > 0) umount(sealed, MNT_DETACH);
  rmSync(sealed, { force: true });
}

/** False once the package was upgraded: the mount still shows the old one. */
function sameFile(binary: string, sealed: string): boolean {
  const [own, mounted] = [statSync(binary), statSync(sealed, { throwIfNoEntry: false })];
  return mounted !== undefined && own.ino === mounted.ino && own.dev === mounted.dev;
}

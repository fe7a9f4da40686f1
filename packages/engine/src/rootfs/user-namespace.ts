/** A user namespace held open by a descriptor, for idmapped mounts. No process stays in it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { IdMap } from '../ports/rootfs.ts';

const LIMIT_MS = 5000;

/** Descriptor of a namespace in which ids 0.. are the host's `map.hostId`... */
export async function openUserNamespace(map: IdMap): Promise<number> {
  const child = spawn('unshare', ['--user', 'cat'], { stdio: ['pipe', 'ignore', 'ignore'] });
  const ended = once(child, 'exit');
  try {
    await once(child, 'spawn');
    const link = `/proc/${child.pid}/ns/user`;
    const own = readlinkSync('/proc/self/ns/user');
    const deadline = performance.now() + LIMIT_MS;
    while (readlinkSync(link) === own) {
      if (performance.now() > deadline || child.exitCode !== null) throw new Error('no user namespace could be made');
      await delay(1);
    }
    const line = `0 ${map.hostId} ${map.count}\n`;
    writeFileSync(`/proc/${child.pid}/uid_map`, line);
    writeFileSync(`/proc/${child.pid}/gid_map`, line);
    return openSync(link, 'r');
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}

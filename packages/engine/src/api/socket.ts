/** The place of the API socket: a stale one is taken away, a living one never. */
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { BulkheadError } from '@bulkhead/contract';

/** Group whose members may use the engine. */
const GROUP = 'bulkhead';

/** Throws `in_use` where an engine still answers there. */
export async function clearSocket(path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
  if (await answers(path)) {
    throw new BulkheadError('in_use', `another engine answers on ${path}`, {
      hint: 'Stop it with `bulkhead down`, or choose another directory with --run.',
    });
  }
  rmSync(path, { force: true });
}

/** Owner and group only; whoever can write to it is as good as root. */
export function restrictSocket(path: string): void {
  chmodSync(path, 0o660);
  const group = groupId();
  if (group !== undefined && process.getuid?.() === 0) chownSync(path, 0, group);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

function groupId(): number | undefined {
  try {
    const line = readFileSync('/etc/group', 'utf8').match(new RegExp(`^${GROUP}:[^:]*:(\\d+):`, 'm'));
    return line ? Number(line[1]) : undefined;
  } catch {
    return undefined;
  }
}

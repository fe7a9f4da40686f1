/** Layers as this engine uses them: a squashfs or erofs file under an overlay, and a squashfs seen through an id map. Really mounted, in a mount namespace that dies with the probe. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Check } from '../../ports/host.ts';
import { MOUNT_ATTR_IDMAP, MOUNT_ATTR_RDONLY, mountSetattr, newMount } from '../syscall.ts';
import { endGroup, firstLine, inDirectory, type Probe, program, words } from './probe.ts';

type Kind = 'squashfs' | 'erofs';
type Answer = Omit<Check, 'name'>;

const HOST_ID = 100_000;
/** Mounts the image, puts an overlay on it, writes to it, says so, and stays until its input ends. Arguments: type, directory. */
const MOUNT_AND_WAIT = `set -e; cd "$2"
mount -t "$1" -o loop,ro image lower
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
grep -q probe merged/file; echo changed >merged/file
echo ready; exec cat >/dev/null`;

export function overlayProbe(kind: Kind, scratch: string): Probe {
  const needed = kind === 'squashfs';
  const means = needed
    ? 'image layers cannot be mounted: no level works'
    : 'layers can only be squashfs, which is the default';
  const fix = `Use a kernel with ${kind}, overlay and loop devices, and install ${needed ? 'squashfs-tools' : 'erofs-utils'}.`;
  const status = needed ? 'failed' : 'warning';
  return {
    name: `overlay on ${kind}`,
    means,
    fix,
    limitMs: 8000,
    run: (signal) =>
      inDirectory(scratch, async (directory): Promise<Answer> => {
        const why = await buildImage(kind, directory, signal);
        if (why !== undefined) return { status, found: why, means, fix };
        return withMounted(kind, directory, signal, async (_child, failure) => {
          if (failure !== undefined) return { status, found: failure, means, fix };
          return {
            status: 'ok',
            found: 'mounted, read and written',
            means: needed ? 'image layers are shared by all instances' : 'layers could be erofs as well',
          };
        });
      }),
  };
}

export function idMapProbe(scratch: string): Probe {
  const means = 'each layer is copied once, with the ids of the instances in it: more disk, the same walls';
  const fix = 'Use Linux 6.2 or later, whose squashfs has idmapped mounts.';
  return {
    name: 'idmapped layers',
    means,
    fix,
    limitMs: 8000,
    run: (signal) =>
      inDirectory(scratch, async (directory): Promise<Answer> => {
        const why = await buildImage('squashfs', directory, signal);
        if (why !== undefined) return { status: 'warning', found: why, means, fix };
        return withMounted('squashfs', directory, signal, async (child, failure) => {
          if (failure !== undefined) return { status: 'warning', found: failure, means, fix };
          const owner = await ownerThroughMap(loopOf(child, path.join(directory, 'lower')));
          if (owner !== HOST_ID) return { status: 'warning', found: `root's file belongs to ${owner}`, means, fix };
          return {
            status: 'ok',
            found: 'a squashfs was seen through an id map',
            means: 'containers share layers and still have a user namespace',
          };
        });
      }),
  };
}

/** Undefined, or why there is no image. */
async function buildImage(kind: Kind, directory: string, signal: AbortSignal): Promise<string | undefined> {
  for (const name of ['tree', 'lower', 'upper', 'work', 'merged']) mkdirSync(path.join(directory, name));
  writeFileSync(path.join(directory, 'tree/file'), 'probe\n');
  const image = path.join(directory, 'image');
  const tree = path.join(directory, 'tree');
  const made =
    kind === 'squashfs'
      ? await program('mksquashfs', [tree, image, '-quiet', '-no-progress', '-all-root'], { signal })
      : await program('mkfs.erofs', [image, tree], { signal });
  return made.code === 0 ? undefined : `the image cannot be made: ${words(made)}`;
}

async function withMounted(
  kind: Kind,
  directory: string,
  signal: AbortSignal,
  body: (child: ChildProcess, failure: string | undefined) => Promise<Answer>,
): Promise<Answer> {
  const args = ['--mount', '--propagation', 'private', 'sh', '-c', MOUNT_AND_WAIT, 'sh', kind, directory];
  const child = spawn('unshare', args, { stdio: 'pipe', detached: true });
  const ended = once(child, 'close');
  const stop = () => endGroup(child);
  signal.addEventListener('abort', stop);
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  try {
    const ready = await Promise.race([once(child.stdout, 'data').then(() => true), ended.then(() => false)]);
    return await body(child, ready ? undefined : firstLine(stderr) || 'it cannot be mounted');
  } finally {
    signal.removeEventListener('abort', stop);
    endGroup(child);
    await ended;
  }
}

/** The loop device that holds `mounted` in the child's mount namespace. */
function loopOf(child: ChildProcess, mounted: string): string {
  const lines = readFileSync(`/proc/${child.pid}/mountinfo`, 'utf8').split('\n');
  const source = lines
    .find((line) => line.split(' ')[4] === mounted)
    ?.split(' - ')[1]
    ?.split(' ')[1];
  if (source === undefined) throw new Error('the probe lost its mount');
  return source;
}

/** Uid of root's file, seen through a mount that is attached nowhere: closing its descriptor removes it. */
async function ownerThroughMap(device: string): Promise<number> {
  const namespace = await userNamespace();
  try {
    const detached = newMount(
      'squashfs',
      [
        ['source', device],
        ['ro', null],
      ],
      MOUNT_ATTR_RDONLY,
    );
    try {
      mountSetattr(detached, MOUNT_ATTR_IDMAP, namespace);
      return statSync(`/proc/self/fd/${detached}/file`).uid;
    } finally {
      closeSync(detached);
    }
  } finally {
    closeSync(namespace);
  }
}

/** Descriptor of a user namespace whose ids begin at {@link HOST_ID}; no process stays in it. */
async function userNamespace(): Promise<number> {
  const child = spawn('unshare', ['--user', 'cat'], { stdio: ['pipe', 'ignore', 'ignore'] });
  const ended = once(child, 'close');
  try {
    await once(child, 'spawn');
    const link = `/proc/${child.pid}/ns/user`;
    const own = readlinkSync('/proc/self/ns/user');
    while (child.exitCode === null && readlinkSync(link) === own) await delay(1);
    for (const file of ['uid_map', 'gid_map']) writeFileSync(`/proc/${child.pid}/${file}`, `0 ${HOST_ID} 65536\n`);
    return openSync(link, 'r');
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}

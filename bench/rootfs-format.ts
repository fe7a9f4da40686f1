/** Which form a prepared layer should have: measures preparing, size, reading and page cache. Usage: rootfs-format.ts ROOT.tar (as root). */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const archive = process.argv[2];
if (archive === undefined) throw new Error('usage: rootfs-format.ts ROOT.tar');
const ROUNDS = 3;
const LARGE = { encoding: 'utf8', maxBuffer: 2 ** 26 } as const;
const base = mkdtempSync(path.join(tmpdir(), 'bulkhead-bench-'));

function run(command: string, args: string[], input?: string): number {
  const started = performance.now();
  const shell =
    input === undefined
      ? ([command, args] as const)
      : (['sh', ['-c', 'exec "$0" "$@" < "$INPUT"', command, ...args]] as const);
  const done = spawnSync(shell[0], [...shell[1]], { stdio: 'ignore', env: { ...process.env, INPUT: input ?? '' } });
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${done.status}`);
  return performance.now() - started;
}

function dropCaches(): void {
  run('sync', []);
  writeFileSync('/proc/sys/vm/drop_caches', '3');
}

/** Of these files only (fincore), since other work on the machine fills the cache too: the layer's file and what is seen through it. */
function cachedMiB(file: string, root: string): number {
  const list = spawnSync(
    'find',
    [root, '-xdev', '-type', 'f', '-exec', 'fincore', '-b', '-n', '-o', 'RES', '{}', '+'],
    LARGE,
  );
  const own = root === file ? '' : spawnSync('fincore', ['-b', '-n', '-o', 'RES', file], LARGE).stdout;
  const numbers = `${list.stdout}\n${own}`.split('\n').map(Number);
  return numbers.reduce((sum, bytes) => sum + bytes, 0) / 2 ** 20;
}

interface Format {
  name: string;
  /** Makes `target` from the archive (or, for erofs, from the unpacked directory). */
  prepare(target: string): number;
  mounted: boolean;
  directIo?: boolean;
}

const plain = ['-noI', '-noD', '-noF', '-noX', '-no-fragments', '-no-duplicates'];
const sqfs =
  (flags: string[]) =>
  (target: string): number =>
    run('sqfstar', [...flags, '-quiet', '-no-progress', target], archive);
const unpack = (target: string): number => {
  mkdirSync(target);
  return run('tar', ['-x', '--xattrs', '-C', target, '-f', archive]);
};
const erofs =
  (flags: string[]) =>
  (target: string): number => {
    const unpacked = unpack(`${target}.d`);
    return unpacked + run('mkfs.erofs', [...flags, target, `${target}.d`]);
  };
const formats: Format[] = [
  { name: 'directory', prepare: unpack, mounted: false },
  { name: 'squashfs, plain', prepare: sqfs(plain), mounted: true },
  { name: 'squashfs, plain, direct I/O', prepare: sqfs(plain), mounted: true, directIo: true },
  { name: 'squashfs, lz4', prepare: sqfs(['-comp', 'lz4']), mounted: true },
  { name: 'squashfs, zstd 3', prepare: sqfs(['-comp', 'zstd', '-Xcompression-level', '3']), mounted: true },
  { name: 'squashfs, gzip', prepare: sqfs(['-comp', 'gzip']), mounted: true },
  { name: 'erofs, plain', prepare: erofs([]), mounted: true },
  { name: 'erofs, lz4', prepare: erofs(['-zlz4']), mounted: true },
];

const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
const readAll = (root: string): number =>
  run('sh', ['-c', 'find "$0" -xdev -type f -exec cat {} + | cat > /dev/null', root]);

function sizeMiB(file: string): number {
  if (!statSync(file).isDirectory()) return statSync(file).size / 2 ** 20;
  return Number(spawnSync('du', ['-sm', file]).stdout.toString().split('\t')[0]);
}

function measure(format: Format): string {
  const prepared: number[] = [];
  let file = '';
  for (let round = 0; round < ROUNDS; round++) {
    if (file !== '') for (const old of [file, `${file}.d`]) rmSync(old, { recursive: true, force: true });
    file = path.join(base, `${formats.indexOf(format)}-${round}`);
    try {
      prepared.push(format.prepare(file));
    } catch (error) {
      return `| ${format.name} | not available here: ${(error as Error).message.slice(0, 60)} | | | | |`;
    }
  }
  const root = !format.mounted ? file : path.join(base, 'mounted');
  mkdirSync(root, { recursive: true });
  let device = '';
  if (format.mounted) {
    const direct = format.directIo === true ? ['--direct-io=on', '--sector-size', '4096'] : [];
    device = spawnSync('losetup', ['-f', '--show', '-r', ...direct, file], LARGE).stdout.trim();
    run('mount', ['-o', 'ro', device, root]);
  }
  const cold: number[] = [];
  const warm: number[] = [];
  let cache = 0;
  for (let round = 0; round < ROUNDS; round++) {
    dropCaches();
    cold.push(readAll(root));
    cache = cachedMiB(file, root);
    warm.push(readAll(root));
  }
  if (format.mounted) {
    run('umount', [root]);
    run('losetup', ['-d', device]);
  }
  const figures = [median(prepared), sizeMiB(file), median(cold), median(warm), cache].map((figure) =>
    Math.round(figure),
  );
  for (const old of [file, `${file}.d`]) rmSync(old, { recursive: true, force: true });
  return `| ${format.name} | ${figures.join(' | ')} |`;
}

try {
  console.log('| form | prepare, ms | disk, MiB | read all cold, ms | read all warm, ms | page cache, MiB |');
  console.log('|---|---|---|---|---|---|');
  for (const format of formats) console.log(measure(format));
} finally {
  rmSync(base, { recursive: true, force: true });
}

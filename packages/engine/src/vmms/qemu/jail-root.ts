/** The root file system of a jailed QEMU: the program, its libraries and its firmware, and nothing else. Made once per version. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

const FIRMWARE = [
  '/usr/share/seabios/bios-microvm.bin',
  '/usr/share/qemu/bios-microvm.bin',
  '/usr/share/qemu/linuxboot_dma.bin',
  '/usr/share/qemu/pvh.bin',
  '/usr/share/qemu/kvmvapic.bin',
];
/** Accelerators are modules in some builds. */
const MODULE_FOLDERS = ['/usr/lib/x86_64-linux-gnu/qemu', '/usr/lib/aarch64-linux-gnu/qemu'];
const MODULES = ['accel-tcg-x86_64.so', 'accel-tcg-aarch64.so'];
const PLACES = ['dev', 'proc', 'sys', 'tmp', 'disks', 'shares', 'agent', 'etc', '.bulkhead'];

/** Where the monitor finds its firmware inside. */
export const FIRMWARE_FOLDERS = ['/usr/share/seabios', '/usr/share/qemu'];

/** Absolute paths, with symbolic links as they are named by the loader. */
function libraries(program: string): string[] {
  const text = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [...text.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1] ?? '').filter((file) => file !== '');
}

/** `folder/qemu-HASH`, complete or not there. */
export function jailRoot(folder: string, program: string, version: string): string {
  const identity = createHash('sha256')
    .update(`${version}\n${statSync(program).size}\n${statSync(program).mtimeMs}`)
    .digest('hex')
    .slice(0, 12);
  const target = path.join(folder, `qemu-${identity}`);
  if (existsSync(target)) return target;
  mkdirSync(folder, { recursive: true, mode: 0o711 });
  // Of an engine that was killed in the middle: nobody else works here.
  for (const name of readdirSync(folder))
    if (name.startsWith('partial-')) rmSync(path.join(folder, name), { recursive: true, force: true });
  const partial = mkdtempSync(path.join(folder, 'partial-'));
  try {
    const modules = MODULE_FOLDERS.flatMap((directory) => MODULES.map((name) => path.join(directory, name))).filter(
      existsSync,
    );
    const files = new Set([
      program,
      ...modules,
      ...[program, ...modules].flatMap(libraries),
      ...FIRMWARE.filter(existsSync),
    ]);
    for (const file of files) {
      const copy = path.join(partial, file);
      mkdirSync(path.dirname(copy), { recursive: true, mode: 0o755 });
      copyFileSync(realpathSync(file), copy);
      chmodSync(copy, file.includes('/share/') ? 0o444 : 0o555);
    }
    for (const place of PLACES) mkdirSync(path.join(partial, place), { recursive: true, mode: 0o755 });
    for (const file of ['kernel', 'initrd']) writeFileSync(path.join(partial, file), '');
    chmodSync(partial, 0o755);
    renameSync(partial, target);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
  return target;
}

/** A word for `inspect` and the probe cache. */
export function programVersion(program: string): string {
  return (
    /version (\S+)/.exec(execFileSync(program, ['--version'], { encoding: 'utf8' }))?.[1] ??
    readFileSync(program).length.toString()
  );
}

/** Runs the static checks and every test file, and ends with one line of counts. A check counts as one test. */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import path from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const root = path.resolve(import.meta.dirname, '..');
const only = process.argv.slice(2).filter((word) => word !== '--list');
const bin = (name: string): string => path.join(root, 'node_modules/.bin', name);
// The tools below are scripts with `env node` in their first line: they shall find the pinned one.
process.env.PATH = `${path.join(root, 'node_modules/.bin')}:${process.env.PATH}`;
const tally = { passed: 0, failed: 0, skipped: 0 };
const trouble: string[] = [];

const CHECKS: [name: string, command: string, ...args: string[]][] = [
  ['biome check', bin('biome'), 'check', '--error-on-warnings', '.'],
  ['tsc --noEmit', bin('tsc'), '--noEmit'],
  ['dependency-cruiser', bin('depcruise'), '--config', '.dependency-cruiser.cjs', 'packages'],
  ['knip', bin('knip')],
  ['docs/errors.md is current', process.execPath, 'scripts/errors-doc.ts', '--check'],
  ['docs/cli.md is current', process.execPath, 'scripts/cli-doc.ts', '--check'],
];

const files =
  only.length > 0
    ? only.map((file) => path.resolve(file))
    : globSync('{packages/*,bench,scripts}/test/**/*.test.ts', { cwd: root })
        .sort()
        .map((file) => path.join(root, file));
if (process.argv.includes('--list')) {
  console.log(files.map((file) => path.relative(root, file)).join('\n'));
  process.exit();
}

if (only.length === 0) {
  for (const [name, command, ...args] of CHECKS) {
    const check = spawnSync(command, args, { cwd: root, encoding: 'utf8' });
    if (check.status === 0) {
      tally.passed++;
      console.log(`✔ ${name}`);
    } else {
      tally.failed++;
      trouble.push(name);
      console.log(`✖ ${name}\n${check.stdout}${check.stderr}${check.error?.message ?? ''}`);
    }
  }
}

/** What a test must not leave behind, whoever failed. */
function residue(): Set<string> {
  const lines = (command: string, ...args: string[]): string[] =>
    (spawnSync(command, args, { encoding: 'utf8' }).stdout ?? '').split('\n').filter((line) => line !== '');
  return new Set([
    ...lines('ip', '-o', 'link')
      .map((line) => `link ${line.split(': ')[1]?.split('@')[0]}`)
      .filter((link) => /^link b[0-9a-f]{6}/.test(link)),
    ...lines('ip', 'netns')
      .filter((line) => line.startsWith('bh'))
      .map((line) => `netns ${line.split(' ')[0]}`),
    ...lines('nft', 'list', 'tables').filter((line) => line.includes('bulkhead_')),
    ...lines('losetup', '-n', '-O', 'BACK-FILE').map((file) => `loop ${file}`),
    ...lines('findmnt', '-rno', 'TARGET')
      .filter((target) => /bulkhead|\bbh[-_]/.test(target))
      .map((target) => `mount ${target}`),
    // An engine's own empty group stays until it is purged; what counts is a group of an instance.
    ...globSync('/sys/fs/cgroup/{,*/}bulkhead-*/*/').map((group) => `cgroup ${group}`),
    ...lines('ps', '-eo', 'comm=,args=')
      .filter((line) => /^(conmon|crun|runsc|runsc-\S+|qemu-system\S*|dnsmasq|docker-registry|socat)\s/.test(line))
      .map((line) => `process ${line.slice(0, 200)}`),
  ]);
}

const before = residue();
// One at a time: the machine's two cores and its bridges, ports and cgroups are the thing under test.
const stream = run({ files, concurrency: 1, timeout: 15 * 60_000, execArgv: ['--no-warnings'] });
stream.on('test:pass', (event) => {
  if (event.details.type === 'suite') return;
  if (event.skip !== undefined) {
    tally.skipped++;
    trouble.push(`skipped: ${event.name}: ${event.skip}`);
  } else tally.passed++;
});
stream.on('test:fail', (event) => {
  if (event.details.type === 'suite') return;
  tally.failed++;
  trouble.push(`failed: ${event.name} (${path.relative(root, event.file ?? '')}:${event.line ?? ''})`);
});
stream.compose(new spec()).pipe(process.stdout);

stream.on('end', async () => {
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  const left = [...residue()].filter((thing) => !before.has(thing));
  if (left.length === 0) tally.passed++;
  else {
    tally.failed++;
    trouble.push(`left behind: ${left.join('; ')}`);
  }
  console.log(`\n${left.length === 0 ? '✔' : '✖'} nothing is left behind`);
  for (const line of trouble) console.log(line);
  console.log(`${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped`);
  process.exitCode = tally.failed === 0 ? 0 : 1;
});

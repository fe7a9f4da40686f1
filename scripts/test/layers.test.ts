/** Proves that the rules of the layers bite: each has an import that breaks it, and what is allowed breaks none. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

const ROOT = path.resolve(import.meta.dirname, '../..');
const CONFIG = '.dependency-cruiser.cjs';
const RULES = (createRequire(import.meta.url)(path.join(ROOT, CONFIG)) as { forbidden: { name: string }[] }).forbidden;

/** An import that must be refused, from one file to another, for each rule. */
const VIOLATIONS: Record<string, [from: string, to: string][]> = {
  'no-cycles': [['engine/src/domain/a.ts', 'engine/src/domain/a-too.ts']],
  'domain-imports-nothing': [
    ['engine/src/domain/a.ts', 'engine/src/ports/b.ts'],
    ['engine/src/domain/a.ts', 'contract/src/b.ts'],
    ['engine/src/domain/a.ts', 'node:path'],
  ],
  'ports-import-domain-only': [
    ['engine/src/ports/a.ts', 'engine/src/lifecycle/b.ts'],
    ['engine/src/ports/a.ts', 'engine/src/network/b.ts'],
  ],
  'core-does-no-io': [
    ['engine/src/lifecycle/a.ts', 'engine/src/network/b.ts'],
    ['engine/src/policy/a.ts', 'engine/src/host/b.ts'],
    ['engine/src/compose/a.ts', 'engine/src/api/b.ts'],
  ],
  'adapters-do-not-import-core': [
    ['engine/src/images/a.ts', 'engine/src/lifecycle/b.ts'],
    ['engine/src/drivers/oci/a.ts', 'engine/src/policy/b.ts'],
    ['engine/src/bundle/a.ts', 'engine/src/api/b.ts'],
  ],
  'adapters-never-import-each-other': [
    ['engine/src/images/a.ts', 'engine/src/network/b.ts'],
    ['engine/src/rootfs/a.ts', 'engine/src/images/b.ts'],
    ['engine/src/drivers/microvm/a.ts', 'engine/src/vmms/qemu/b.ts'],
    ['engine/src/supervisor/a.ts', 'engine/src/state/b.ts'],
  ],
  'drivers-never-import-each-other': [['engine/src/drivers/gvisor/a.ts', 'engine/src/drivers/oci/b.ts']],
  'only-main-names-adapters': [['engine/src/api/a.ts', 'engine/src/images/b.ts']],
  'cli-uses-sdk-only': [['cli/src/a.ts', 'engine/src/b.ts']],
  'sdk-uses-contract-only': [
    ['sdk/src/a.ts', 'engine/src/b.ts'],
    ['sdk/src/a.ts', 'cli/src/b.ts'],
  ],
  'contract-is-pure': [
    ['contract/src/a.ts', 'sdk/src/b.ts'],
    ['contract/src/a.ts', 'node:fs'],
  ],
};

/** What the architecture allows. */
const ALLOWED: [from: string, to: string][] = [
  ['engine/src/ports/a.ts', 'engine/src/domain/b.ts'],
  ['engine/src/lifecycle/a.ts', 'engine/src/ports/b.ts'],
  ['engine/src/images/a.ts', 'engine/src/images/b.ts'],
  ['engine/src/images/a.ts', 'engine/src/host/b.ts'],
  ['engine/src/drivers/oci/a.ts', 'engine/src/bundle/b.ts'],
  ['engine/src/drivers/oci/a.ts', 'engine/src/drivers/oci/b.ts'],
  ['engine/src/main.ts', 'engine/src/drivers/oci/b.ts'],
  ['engine/src/api/a.ts', 'engine/src/lifecycle/b.ts'],
  ['cli/src/a.ts', 'sdk/src/b.ts'],
  ['sdk/src/a.ts', 'contract/src/b.ts'],
];

interface Violation {
  from: string;
  to: string;
  rule: { name: string; severity: string };
}

const write = (tree: string, file: string, content: string): void => {
  const place = path.join(tree, 'packages', file);
  mkdirSync(path.dirname(place), { recursive: true });
  writeFileSync(place, content);
};

/** A file of its own for each import, so that all of them fit into one tree. */
const numbered = (file: string, index: number): string => file.replace(/\.ts$/, `${index}.ts`);

function plant(tree: string, [from, to]: [string, string], index: number): void {
  const inside = to.endsWith('.ts');
  const source = from.endsWith('main.ts') ? from : numbered(from, index);
  if (inside) write(tree, numbered(to, index), 'export const b = 1;\n');
  const way = path.relative(path.dirname(source), numbered(to, index));
  const target = inside ? (way.startsWith('.') ? way : `./${way}`) : to;
  write(tree, source, `import * as it from '${target}';\nexport const a = it;\n`);
}

function cruise(imports: [from: string, to: string][], finish: (tree: string) => void = () => {}) {
  const tree = mkdtempSync(path.join(tmpdir(), 'bulkhead-layers-'));
  try {
    for (const file of [CONFIG, 'tsconfig.json', 'package.json'])
      copyFileSync(path.join(ROOT, file), path.join(tree, file));
    symlinkSync(path.join(ROOT, 'node_modules'), path.join(tree, 'node_modules'));
    for (const [index, each] of imports.entries()) plant(tree, each, index);
    finish(tree);
    const run = (...flags: string[]) =>
      spawnSync(path.join(ROOT, 'node_modules/.bin/depcruise'), ['--config', CONFIG, ...flags, 'packages'], {
        cwd: tree,
        encoding: 'utf8',
        maxBuffer: 1 << 26,
      });
    const { summary } = JSON.parse(run('--output-type', 'json').stdout) as { summary: { violations: Violation[] } };
    return { violations: summary.violations, code: run().status };
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

test('there is a tree for every rule', () => {
  assert.deepEqual(Object.keys(VIOLATIONS).sort(), RULES.map(({ name }) => name).sort());
});

test('every folder of the engine belongs to a layer', () => {
  const config = readFileSync(path.join(ROOT, CONFIG), 'utf8');
  const folders = readdirSync(path.join(ROOT, 'packages/engine/src'), { withFileTypes: true });
  for (const { name } of folders.filter((each) => each.isDirectory()))
    assert.match(config, new RegExp(`[(|']${name}[)|'/]`), name);
});

test('each wrong import breaks its rule, and the check fails', () => {
  const all = Object.entries(VIOLATIONS).flatMap(([rule, imports]) => imports.map((each) => ({ rule, each })));
  const { violations, code } = cruise(
    all.map(({ each }) => each),
    (tree) => {
      const index = all.findIndex(({ rule }) => rule === 'no-cycles');
      const [from, to] = all[index]?.each ?? [];
      assert.ok(from && to);
      const back = `./${path.basename(numbered(from, index))}`;
      write(tree, numbered(to, index), `import { a } from '${back}';\nexport const b = () => a;\n`);
    },
  );
  assert.notEqual(code, 0);
  for (const [index, { rule, each }] of all.entries()) {
    const file = path.join('packages', numbered(each[0], index));
    const names = violations.filter(({ from, to }) => from === file || to === file).map((found) => found.rule);
    assert.deepEqual(
      names.find(({ name }) => name === rule),
      { severity: 'error', name: rule },
      `${rule}: ${each.join(' imports ')}, yet found only ${names.map(({ name }) => name).join(', ') || 'nothing'}`,
    );
  }
});

test('what the architecture allows breaks no rule', () => {
  const { violations, code } = cruise(ALLOWED);
  assert.deepEqual([violations, code], [[], 0]);
});

test('a test file in scripts/test, and in every package, is one that npm test runs', () => {
  const listed = spawnSync(process.execPath, [path.join(ROOT, 'scripts/test.ts'), '--list'], { encoding: 'utf8' });
  const files = listed.stdout.trim().split('\n');
  assert.ok(files.includes(path.relative(ROOT, import.meta.filename)), listed.stderr);
  const all = globSync('{packages,scripts,bench}/**/*.test.ts', { cwd: ROOT, exclude: ['**/node_modules/**'] });
  assert.deepEqual(files.toSorted(), all.toSorted());
});

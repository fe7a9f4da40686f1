/** docs/errors.md follows the registry. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { it } from 'node:test';
import { ERRORS } from '@bulkhead/contract';

const SCRIPT = path.resolve(import.meta.dirname, '../errors-doc.ts');
const run = (...args: string[]) =>
  spawnSync(process.execPath, ['--no-warnings', SCRIPT, ...args], { encoding: 'utf8' });

it('the page has every code, and --check tells a stale page from a current one', (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'bulkhead-docs-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'errors.md');
  assert.equal(run('--check', file).status, 1);
  assert.equal(run(file).status, 0);
  assert.equal(run('--check', file).status, 0);
  const page = readFileSync(file, 'utf8');
  for (const code of Object.keys(ERRORS)) assert.ok(page.includes(`| \`${code}\` |`), code);
  writeFileSync(file, `${page}one line more\n`);
  const stale = run('--check', file);
  assert.equal(stale.status, 1);
  assert.match(stale.stderr, /stale/);
});

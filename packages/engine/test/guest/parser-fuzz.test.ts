/** The guest's own parser, compiled for the host with sanitizers, under random and mutated frames for a few seconds. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const AGENT = join(import.meta.dirname, '../../../../guest/agent');
const SECONDS = 5;

test('no bytes of an engine make the agent read out of bounds or miss the next hello', { timeout: 60_000 }, (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'bulkhead-fuzz-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const program = join(directory, 'fuzz');
  const sources = ['frame.c', 'message.c', 'request.c'].map((name) => join(AGENT, name));
  const flags = ['-std=gnu11', '-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-I', AGENT];
  execFileSync('gcc', [...flags, '-o', program, join(import.meta.dirname, 'parser-fuzz.c'), ...sources]);
  const seed = String(Date.now());
  t.diagnostic(`seed ${seed}`);
  const said = execFileSync(program, [String(SECONDS), seed], { encoding: 'utf8' });
  assert.match(said, /^[1-9]\d* rounds\n$/);
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FakePolicy } from '@bulkhead/testkit';
import { policyConformance } from '@bulkhead/testkit/policy-conformance';
import { loadPolicy } from '../../src/policy/load.ts';
import { task } from './sample-task.ts';

policyConformance('the fake policy', () => ({ policy: new FakePolicy(), task: task() }));

policyConformance('the shipped rules', () => {
  const folder = mkdtempSync(join(tmpdir(), 'bulkhead-policy-'));
  try {
    writeFileSync(join(folder, 'empty.yaml'), 'version: 1\n');
    return { policy: loadPolicy(join(folder, 'empty.yaml')), task: task() };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

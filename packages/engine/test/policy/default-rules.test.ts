/** The shipped rules: known tasks on known hosts, and the level each gets. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { BulkheadError } from '@bulkhead/contract';
import type { TaskSpec } from '../../src/domain/task.ts';
import { loadPolicy } from '../../src/policy/load.ts';
import type { ImageRecord } from '../../src/ports/images.ts';
import { HOSTS, lacks, task } from './sample-task.ts';

// A file without rules of its own: the machine's /etc/bulkhead/policy.yaml shall not decide these tests.
const folder = mkdtempSync(path.join(tmpdir(), 'bulkhead-policy-'));
const empty = path.join(folder, 'empty.yaml');
writeFileSync(empty, 'version: 1\n');
const policy = loadPolicy(empty);
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const TABLE: [what: string, changes: Partial<TaskSpec>, host: keyof typeof HOSTS, expected: string][] = [
  ['a trusted task', {}, 'kvm', 'container'],
  ['a trusted task', {}, 'containersOnly', 'container'],
  ['a trusted task that asks for more', { isolation: 'microvm' }, 'emulated', 'microvm'],
  ['a trusted task that asks for what is not there', { isolation: 'gvisor' }, 'noGvisor', 'level_unavailable'],
  ['a trusted task that asks for a machine', { isolation: 'vm' }, 'kvm', 'level_unavailable'],
  ['an untrusted task', { trust: 'untrusted' }, 'emulated', 'gvisor'],
  ['an untrusted task', { trust: 'untrusted' }, 'kvm', 'microvm'],
  ['an untrusted task without gvisor', { trust: 'untrusted' }, 'noGvisor', 'microvm'],
  ['an untrusted task', { trust: 'untrusted' }, 'containersOnly', 'level_unavailable'],
  [
    'an untrusted task that asks for less',
    { trust: 'untrusted', isolation: 'container' },
    'emulated',
    'level_below_minimum',
  ],
  [
    'an untrusted task that asks for less',
    { trust: 'untrusted', isolation: 'container' },
    'containersOnly',
    'level_below_minimum',
  ],
  ['an untrusted task that asks for gvisor', { trust: 'untrusted', isolation: 'gvisor' }, 'emulated', 'gvisor'],
  ['an untrusted task that asks for gvisor', { trust: 'untrusted', isolation: 'gvisor' }, 'kvm', 'level_below_minimum'],
  ['an untrusted task that asks for more', { trust: 'untrusted', isolation: 'microvm' }, 'emulated', 'microvm'],
  ['a privileged task', { privileged: true }, 'emulated', 'gvisor'],
  ['a capability of the kernel', { capAdd: ['cap_sys_admin'] }, 'emulated', 'gvisor'],
  ['all capabilities', { capAdd: ['ALL'] }, 'noGvisor', 'microvm'],
  ['a capability of its own network', { capAdd: ['NET_ADMIN'] }, 'emulated', 'container'],
  [
    'a kernel capability and a weaker wish',
    { capAdd: ['SYS_MODULE'], isolation: 'container' },
    'kvm',
    'level_below_minimum',
  ],
];

describe('the shipped rules', () => {
  for (const [what, changes, host, expected] of TABLE) {
    it(`${what} (${host}) gets ${expected}`, () => {
      let got: string;
      try {
        got = policy.decide(task(changes), undefined, HOSTS[host]).level;
      } catch (error) {
        got = (error as BulkheadError).code;
      }
      assert.equal(got, expected);
    });
  }

  it('names rule, file and line when less is asked than the minimum', () => {
    const refused = task({ trust: 'untrusted', isolation: 'container' });
    assert.throws(
      () => policy.decide(refused, undefined, HOSTS.emulated),
      (error: BulkheadError) => {
        assert.match(error.message, /rule untrusted-never-shares-the-kernel \(policy\/default\.yaml:\d+:\d+\)/);
        assert.match(error.message, /^container is weaker than gvisor/);
        assert.match(error.hint, /gvisor/);
        return true;
      },
    );
  });

  it('names every stronger level that is missing, why, and how to get one', () => {
    assert.throws(
      () => policy.decide(task({ trust: 'untrusted' }), undefined, HOSTS.containersOnly),
      (error: BulkheadError) => {
        for (const level of ['gvisor', 'microvm', 'vm'])
          assert.match(error.message, new RegExp(`${level}: no ${level} today`));
        assert.match(error.hint, /get gvisor/);
        return true;
      },
    );
  });

  it('gives the fix of a level that is asked for and missing', () => {
    assert.throws(() => policy.decide(task({ isolation: 'gvisor' }), undefined, HOSTS.noGvisor), {
      hint: 'get gvisor',
    });
  });

  it('says so when it goes stronger', () => {
    const decision = policy.decide(task({ trust: 'untrusted' }), undefined, HOSTS.noGvisor);
    assert.deepEqual([decision.minimum, decision.level], ['gvisor', 'microvm']);
    assert.match(decision.reasons.at(-1)?.message ?? '', /gvisor is not available here \(no gvisor today\)/);
  });

  it('takes a level nobody has probed for the best it could be, and never refuses because of it', () => {
    assert.equal(policy.decide(task(), undefined, HOSTS.unprobed).level, 'container');
    assert.equal(policy.decide(task({ trust: 'untrusted' }), undefined, HOSTS.unprobed).level, 'microvm');
    const asked = policy.decide(task({ trust: 'untrusted', isolation: 'gvisor' }), undefined, HOSTS.unprobed);
    assert.equal(asked.level, 'microvm');
    const tooWeak = task({ trust: 'untrusted', isolation: 'container' });
    assert.throws(() => policy.decide(tooWeak, undefined, HOSTS.unprobed), { code: 'level_below_minimum' });
  });

  it('an image cannot steer the engine by what it says of itself', () => {
    const config = { labels: { 'org.bulkhead.trust': 'trusted', trust: 'trusted' } };
    const image = { id: 'sha256:00', repoDigests: [], tags: [], config } as unknown as ImageRecord;
    assert.equal(policy.decide(task({ trust: 'untrusted' }), image, HOSTS.emulated).level, 'gvisor');
    assert.doesNotMatch(JSON.stringify(policy.explain(task(), image, HOSTS.emulated).facts), /org\.bulkhead/);
  });

  it('explains facts, every rule and the decision, and a refusal without throwing', () => {
    const answer = policy.explain(task({ trust: 'untrusted' }), undefined, HOSTS.emulated);
    assert.equal(answer.decision?.level, 'gvisor');
    const matched = answer.rules.filter((rule) => rule.matched).map((rule) => rule.rule);
    assert.deepEqual(matched, ['untrusted-never-shares-the-kernel']);
    assert.equal(answer.rules.length, 3);
    assert.doesNotThrow(() => JSON.stringify(answer));
    const refused = policy.explain(task({ isolation: 'vm' }), undefined, [...HOSTS.kvm.slice(0, 3), lacks('vm')]);
    assert.equal(refused.refusal?.code, 'level_unavailable');
    assert.equal(refused.decision, undefined);
  });

  it('grants nothing', () => {
    assert.equal(policy.grants(task(), { kind: 'privileged' }), false);
    assert.equal(policy.grants(task(), { kind: 'bind', path: '/etc' }), false);
  });
});

/** What every Policy promises, whatever its rules: never weaker than asked, never what is not there, and always an explanation. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isWeaker, LEVELS, type Level } from '@bulkhead/engine/domain/level';
import type { TaskSpec } from '@bulkhead/engine/domain/task';
import type { Fingerprint } from '@bulkhead/engine/ports/driver';
import type { Policy } from '@bulkhead/engine/ports/policy';

export interface PolicySubject {
  policy: Policy;
  /** An ordinary trusted task. */
  task: TaskSpec;
}

const host = (...levels: Level[]): Fingerprint[] =>
  LEVELS.map((level) => ({ level, available: levels.includes(level), holds: level, detail: {} }));

export function policyConformance(name: string, make: () => PolicySubject): void {
  const behaviour = (title: string, body: (subject: PolicySubject) => void) =>
    test(`${name}: ${title}`, () => body(make()));

  behaviour('a task runs at no weaker level than asked, nor than the minimum', ({ policy, task }) => {
    for (const trust of ['trusted', 'untrusted'] as const) {
      for (const isolation of ['gvisor', 'microvm', undefined] as const) {
        const asked = { ...task, trust, ...(isolation ? { isolation } : {}) };
        const { level, minimum } = policy.decide(asked, undefined, host('container', 'gvisor', 'microvm'));
        assert.ok(!isWeaker(level, minimum));
        assert.ok(isolation === undefined || !isWeaker(level, isolation));
        assert.ok(trust === 'trusted' || isWeaker('container', level), 'untrusted work shares no kernel');
      }
    }
  });

  behaviour('what the host lacks is refused, never weakened', ({ policy, task }) => {
    const refused = { code: 'level_unavailable' };
    assert.throws(() => policy.decide({ ...task, isolation: 'microvm' }, undefined, host('container')), refused);
    assert.throws(() => policy.decide({ ...task, trust: 'untrusted' }, undefined, host('container')), refused);
  });

  behaviour('an explanation says what would be decided, and of a refusal why, without throwing', ({ policy, task }) => {
    const levels = host('container');
    assert.deepEqual(policy.explain(task, undefined, levels).decision, policy.decide(task, undefined, levels));
    const { decision, refusal } = policy.explain({ ...task, trust: 'untrusted' }, undefined, levels);
    assert.deepEqual([decision, refusal?.code], [undefined, 'level_unavailable']);
  });

  behaviour('no access is given that nobody granted', ({ policy, task }) => {
    for (const access of [
      { kind: 'privileged' },
      { kind: 'host-network' },
      { kind: 'device', path: '/dev/mem' },
    ] as const)
      assert.ok(!policy.grants?.(task, access), access.kind);
  });
}

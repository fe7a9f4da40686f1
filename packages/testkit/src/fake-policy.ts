/** A policy without rules: the asked level, or the weakest. */
import { BulkheadError } from '@bulkhead/contract';
import type { Decision, Explanation, Fingerprint, Policy, TaskSpec } from '@bulkhead/engine';

export class FakePolicy implements Policy {
  readonly granted = new Set<string>();

  decide(task: TaskSpec, _image: unknown, levels: Fingerprint[]): Decision {
    const minimum = task.trust === 'untrusted' ? 'gvisor' : 'container';
    const level = task.isolation ?? minimum;
    if (!levels.find((each) => each.level === level)?.available) {
      throw new BulkheadError('level_unavailable', `${level} is not there`);
    }
    return { level, minimum, reasons: [] };
  }

  explain(task: TaskSpec, image: unknown, levels: Fingerprint[]): Explanation {
    const answer = { subject: task.image, facts: {}, rules: [] };
    try {
      return { ...answer, decision: this.decide(task, image, levels) };
    } catch (error) {
      if (!(error instanceof BulkheadError)) throw error;
      return { ...answer, refusal: error.toBody() };
    }
  }

  grants(_task: TaskSpec, access: { kind: string }): boolean {
    return this.granted.has(access.kind);
  }
}

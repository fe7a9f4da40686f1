/** Facts about a task in, its level and the reasons out. Pure: it does no I/O and refuses by throwing BulkheadError. */
import type { Decision } from '../domain/instance.ts';
import type { Level } from '../domain/level.ts';
import type { TaskSpec } from '../domain/task.ts';
import type { Fingerprint } from './driver.ts';
import type { ImageRecord } from './images.ts';

/** Accesses that a task gets only by name; `grants` of the policy may give them. */
export type Access =
  | { kind: 'privileged' }
  | { kind: 'capability'; name: string }
  | { kind: 'device'; path: string }
  | { kind: 'host-network' }
  | { kind: 'bind'; path: string };

export interface RuleVerdict {
  rule: string;
  /** `file:line:column`. */
  source: string;
  condition: string;
  matched: boolean;
  minimum: Level;
}

export interface Explanation {
  subject: string;
  /** Facts as the conditions see them. */
  facts: unknown;
  rules: RuleVerdict[];
  decision?: Decision;
  refusal?: { code: string; message: string; hint: string; at?: string };
}

export interface Policy {
  /** Throws `level_below_minimum`, `level_unavailable`, `not_granted`. */
  decide(task: TaskSpec, image: ImageRecord | undefined, levels: Fingerprint[]): Decision;
  /** Never throws for a refusal: it is in the answer. */
  explain(task: TaskSpec, image: ImageRecord | undefined, levels: Fingerprint[]): Explanation;
  /** May this task have a sensitive access? Absent means no. */
  grants?(task: TaskSpec, access: Access): boolean;
}

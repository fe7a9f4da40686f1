/** A CEL condition, checked when it is read and never in doubt when it is asked. */
import { type ASTNode, type Environment, EvaluationError } from '@marcbachmann/cel-js';
import { FACTS } from './facts.ts';
import { didYouMean } from './suggestion.ts';

export interface Verdict {
  matched: boolean;
  /** Why the condition had no answer. */
  failure?: string;
}

export type Condition = (facts: Record<string, unknown>) => Verdict;

/** A mistake in a condition, at a character of it. */
export class ConditionError extends Error {
  readonly index: number;
  constructor(message: string, index: number) {
    super(message);
    this.name = 'ConditionError';
    this.index = index;
  }
}

/** `doubtful` is the answer where there is none, e.g. a label asked for that the task lacks. */
export function compileCondition(environment: Environment, source: string, doubtful: boolean): Condition {
  if (source.trim() === '') throw new ConditionError('the condition is empty', 0);
  let parsed: ReturnType<Environment['parse']>;
  try {
    parsed = environment.parse(source);
  } catch (error) {
    throw conditionError(error, source);
  }
  const check = parsed.check();
  if (!check.valid) throw conditionError(check.error, source);
  if (check.type !== 'bool') throw new ConditionError(`the condition gives a ${check.type}, not true or false`, 0);
  for (const node of nodes(parsed.ast)) checkField(node);
  return (facts) => {
    try {
      return { matched: parsed(facts) === true };
    } catch (error) {
      const failure = error instanceof EvaluationError ? error.summary : String(error);
      return { matched: doubtful, failure };
    }
  };
}

function conditionError(error: unknown, source: string): ConditionError {
  const { summary, message, range, code } = error as {
    summary?: string;
    message?: string;
    range?: { start: number; end: number };
    code?: string;
  };
  const index = Math.min(range?.start ?? 0, source.length);
  const word = source.slice(index, range?.end ?? index);
  if (code === 'unknown_variable') {
    return new ConditionError(`there is no fact ${word}${didYouMean(word, Object.keys(FACTS))}`, index);
  }
  if (code === 'no_such_key') {
    const owner = /([a-z]+)\.$/.exec(source.slice(0, index))?.[1] ?? '';
    return unknownField(owner, word, index);
  }
  return new ConditionError(`the condition is not valid CEL: ${summary ?? message ?? 'unknown mistake'}`, index);
}

function unknownField(owner: string, field: string, index: number): ConditionError {
  const known = FACTS[owner] ?? [];
  const hint = didYouMean(field, known) || (known.length > 0 ? `; ${owner} has ${known.join(', ')}` : '');
  return new ConditionError(`there is no fact ${owner === '' ? field : `${owner}.${field}`}${hint}`, index);
}

/** `has(task.typo)` is legal CEL and always false: here it is a mistake like any other. */
function checkField(node: ASTNode): void {
  if (node.op !== '.' && node.op !== '.?') return;
  const [object, field] = node.args;
  if (object.op !== 'id' || !(object.args in FACTS) || FACTS[object.args]?.includes(field)) return;
  throw unknownField(object.args, field, object.end + 1);
}

function* nodes(value: unknown): Generator<ASTNode> {
  if (Array.isArray(value)) {
    for (const item of value) yield* nodes(item);
  } else if (typeof value === 'object' && value !== null && 'op' in value && 'args' in value) {
    yield value as ASTNode;
    yield* nodes(value.args);
  }
}

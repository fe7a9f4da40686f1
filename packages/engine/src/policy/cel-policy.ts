/** Rules over facts: the level of a task, the reasons, and the refusals. It reads no file and asks no host. */
import { BulkheadError } from '@bulkhead/contract';
import type { Decision, Reason } from '../domain/instance.ts';
import { isWeaker, LEVELS, type Level, strength } from '../domain/level.ts';
import type { TaskSpec } from '../domain/task.ts';
import type { Fingerprint } from '../ports/driver.ts';
import type { ImageRecord } from '../ports/images.ts';
import type { Access, Explanation, Policy } from '../ports/policy.ts';
import type { Verdict } from './condition.ts';
import type { Rule } from './document.ts';
import { type Facts, factsOf, forEvaluation, isUnprobed } from './facts.ts';
import { type Grant, gives } from './grant.ts';

/** A condition that may change once more of the host is known. */
const ASKS_HOST = /\bhost\b/;

interface Judged {
  rule: Rule;
  verdict: Verdict;
}

export class CelPolicy implements Policy {
  readonly #rules: readonly Rule[];
  readonly #grants: readonly Grant[];

  constructor(rules: readonly Rule[], grants: readonly Grant[]) {
    this.#rules = rules;
    this.#grants = grants;
  }

  decide(task: TaskSpec, image: ImageRecord | undefined, levels: Fingerprint[]): Decision {
    return choose(task, this.#judge(factsOf(task, image, levels)), levels);
  }

  explain(task: TaskSpec, image: ImageRecord | undefined, levels: Fingerprint[]): Explanation {
    const facts = factsOf(task, image, levels);
    const judged = this.#judge(facts);
    const rules = judged.map(({ rule: { name, source, condition, minimum }, verdict }) => ({
      rule: name,
      source,
      condition,
      matched: verdict.matched,
      minimum,
    }));
    const answer = { subject: task.image, facts, rules };
    try {
      return { ...answer, decision: choose(task, judged, levels) };
    } catch (error) {
      if (!(error instanceof BulkheadError)) throw error;
      return { ...answer, refusal: error.toBody() };
    }
  }

  grants(task: TaskSpec, access: Access): boolean {
    // Who the host is does not bear on what may be given to a task: conditions see no levels here.
    const facts = forEvaluation(factsOf(task, undefined, []));
    return this.#grants.some((grant) => gives(grant, task, access, facts));
  }

  #judge(facts: Facts): Judged[] {
    const values = forEvaluation(facts);
    return this.#rules.map((rule) => ({ rule, verdict: rule.matches(values) }));
  }
}

function choose(task: TaskSpec, judged: Judged[], levels: Fingerprint[]): Decision {
  const matched = judged.filter(({ verdict }) => verdict.matched);
  const reasons = matched.map(reasonOf);
  const strictest = strictestOf(matched);
  const minimum = strictest?.rule.minimum ?? 'container';
  const asked = task.isolation;
  if (asked === undefined) {
    const level = nextAvailable(minimum, strictest, levels);
    return {
      level,
      minimum,
      reasons: level === minimum ? reasons : [...reasons, goingStronger(minimum, level, levels)],
    };
  }
  if (strictest && isWeaker(asked, minimum)) {
    const firm = strictestOf(matched.filter(({ rule }) => !ASKS_HOST.test(rule.condition)));
    if (firm && isWeaker(asked, firm.rule.minimum)) throw tooWeak(asked, firm.rule);
    // What nobody has probed yet may turn out to ask for less: the caller probes the level it is given, and asks again.
    if (levels.some((level) => level.level === minimum && isUnprobed(level)))
      return { level: minimum, minimum, asked, reasons };
    throw tooWeak(asked, strictest.rule);
  }
  const unavailable = levels.find((level) => level.level === asked && !level.available);
  if (unavailable || !levels.some((level) => level.level === asked)) {
    throw new BulkheadError('level_unavailable', `this host has no ${asked}: ${whyNot(asked, levels)}`, {
      hint: unavailable?.fix ?? 'Run `bulkhead doctor`; it says what is missing.',
    });
  }
  return { level: asked, minimum, asked, reasons };
}

function strictestOf(judged: Judged[]): Judged | undefined {
  return judged.reduce<Judged | undefined>(
    (best, one) => (best && !isWeaker(best.rule.minimum, one.rule.minimum) ? best : one),
    undefined,
  );
}

function reasonOf({ rule, verdict }: Judged): Reason {
  const { name, source, minimum, message } = rule;
  const doubt = verdict.failure === undefined ? '' : ` (the condition has no answer, so it counts: ${verdict.failure})`;
  return { rule: name, source, minimum, message: message + doubt };
}

/** The minimum, or the weakest level above it that this host has. */
function nextAvailable(minimum: Level, because: Judged | undefined, levels: Fingerprint[]): Level {
  const enough = LEVELS.slice(strength(minimum));
  const found = enough.find((level) => levels.some((known) => known.level === level && known.available));
  if (found) return found;
  const missing = enough.map((level) => `${level}: ${whyNot(level, levels)}`).join('; ');
  const rule = because ? ` (rule ${because.rule.name}, ${because.rule.source}: ${because.rule.message})` : '';
  const fix = levels.find((level) => enough.includes(level.level) && level.fix !== undefined)?.fix;
  throw new BulkheadError(
    'level_unavailable',
    `the task needs at least ${minimum}${rule}, and this host has none: ${missing}`,
    {
      ...(fix === undefined ? {} : { hint: `${fix}. \`bulkhead doctor\` says more.` }),
    },
  );
}

function goingStronger(minimum: Level, level: Level, levels: Fingerprint[]): Reason {
  const message = `${minimum} is not available here (${whyNot(minimum, levels)}): the next stronger level is ${level}`;
  return { rule: 'next-stronger-level', source: 'built-in', minimum: level, message };
}

function tooWeak(asked: Level, rule: Rule): BulkheadError {
  const message = `${asked} is weaker than ${rule.minimum}, which rule ${rule.name} (${rule.source}) asks for: ${rule.message}`;
  return new BulkheadError('level_below_minimum', message, {
    hint: `Use --isolation ${rule.minimum} or leave it out, or change the rule.`,
  });
}

function whyNot(level: Level, levels: Fingerprint[]): string {
  return levels.find((known) => known.level === level)?.reason ?? 'this engine has no driver for it';
}

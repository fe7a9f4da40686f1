/** `explain`: facts, rules and level of a task, without running it. */
import { ERRORS } from '@bulkhead/contract/errors';
import type { Explanation } from '@bulkhead/contract/types';
import type { Command } from '../command.ts';
import { taskBody } from '../task-body.ts';
import { TASK_FLAGS } from '../task-flags.ts';
import { escapeControl } from '../terminal.ts';

export const command: Command = {
  usage: '[FLAGS] IMAGE [COMMAND] [ARG...]',
  summary: 'Show which level a task would get, and why',
  description: 'Takes the flags of `run`. Nothing is pulled or run. Ends as `run` would where the policy refuses.',
  flags: [{ name: 'format', kind: 'text', choices: ['json'], meaning: 'As JSON' }, ...TASK_FLAGS],
  examples: ['bulkhead explain alpine:3', 'bulkhead explain --trust untrusted --isolation container alpine:3'],
  subject: 'image',
  arguments: [1, Number.POSITIVE_INFINITY],
  flagsStopAtFirstArgument: true,
  async run({ flags, args, client }) {
    const body = taskBody(flags, args, { cwd: process.cwd(), env: process.env });
    const found = await (await client()).explain(body);
    if (flags.text('format') === 'json') process.stdout.write(`${JSON.stringify(found)}\n`);
    else
      process.stdout.write(
        `${explanationLines(found)
          .map((line) => escapeControl(line))
          .join('\n')}\n`,
      );
    return found.refusal ? (Object.hasOwn(ERRORS, found.refusal.code) ? 125 : 1) : 0;
  },
};

export function explanationLines(found: Explanation): string[] {
  const lines = [found.subject, '', 'Facts:', ...factLines(found.facts), '', 'Rules:'];
  for (const rule of found.rules) {
    const verdict = rule.matched ? `matches: at least ${rule.minimum}` : 'does not match';
    lines.push(
      `  ${rule.matched ? '*' : ' '} ${rule.rule} (${rule.source}) ${verdict}`,
      `      ${rule.condition.replace(/\s+/g, ' ').trim()}`,
    );
  }
  if (found.decision) {
    const { level, minimum, asked, reasons } = found.decision;
    lines.push('', `Level: ${level} (minimum ${minimum}${asked ? `, asked ${asked}` : ''})`);
    for (const reason of reasons) lines.push(`  because ${reason.message} (${reason.rule}, ${reason.source})`);
  }
  if (found.refusal) lines.push('', `Refused: ${found.refusal.message}`, `  ${found.refusal.hint}`);
  return lines;
}

function factLines(facts: unknown, path = ''): string[] {
  if (typeof facts !== 'object' || facts === null || Array.isArray(facts))
    return [`  ${path} = ${JSON.stringify(facts)}`];
  return Object.entries(facts).flatMap(([key, value]) => factLines(value, path === '' ? key : `${path}.${key}`));
}

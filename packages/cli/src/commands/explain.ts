/** `explain`: facts, rules and level of a task, or of every service of Compose files, without running it. */
import { existsSync } from 'node:fs';
import { ERRORS } from '@bulkhead/contract/errors';
import type { ComposeRequest, Explanation } from '@bulkhead/contract/types';
import type { Client } from '@bulkhead/sdk';
import type { Command } from '../command.ts';
import type { Flag } from '../flag.ts';
import { parseFlags } from '../flags.ts';
import { PROJECT_FLAGS, projectRequest, tellWarnings, withFiles } from '../project-files.ts';
import { taskBody } from '../task-body.ts';
import { TASK_FLAGS } from '../task-flags.ts';
import { escapeControl } from '../terminal.ts';

const FORMAT: Flag = { name: 'format', kind: 'text', choices: ['json'], meaning: 'As JSON' };

export const command: Command = {
  usage: '[FLAGS] IMAGE [COMMAND] [ARG...] | COMPOSE-FILE...',
  summary: 'Show which level a task would get, and why',
  description:
    'Takes the flags of `run`, or Compose files. Nothing is pulled or run. Ends as `run` would where the policy refuses.',
  flags: [FORMAT, ...TASK_FLAGS],
  examples: [
    'bulkhead explain alpine:3',
    'bulkhead explain --trust untrusted --isolation container alpine:3',
    'bulkhead explain compose.yaml',
  ],
  subject: 'image',
  arguments: [1, Number.POSITIVE_INFINITY],
  flagsStopAtFirstArgument: true,
  async run({ flags, args, client }) {
    if (isComposeFile(args[0]!)) return explainFiles(await client(), args, flags.text('format') === 'json');
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

/** An image's name has no such ending, or there is no file of that name. */
function isComposeFile(word: string): boolean {
  return /\.ya?ml$/.test(word) && (existsSync(word) || /^[./]/.test(word) || !word.includes('/'));
}

async function explainFiles(client: Client, words: string[], asJson: boolean): Promise<number> {
  // Flags may stand after the files as well as before them.
  const { flags, args: named } = parseFlags(words, [FORMAT, ...PROJECT_FLAGS]);
  const request: ComposeRequest = projectRequest(flags, { cwd: process.cwd(), env: process.env, named });
  const answer = await withFiles(request, (body) => client.explainCompose(body));
  tellWarnings(answer.warnings);
  if (asJson || flags.text('format') === 'json') process.stdout.write(`${JSON.stringify(answer.services)}\n`);
  else {
    const blocks = answer.services.map(({ service, at, explanation }) => [
      `== ${service} (${at})`,
      ...explanationLines(explanation),
      '',
    ]);
    process.stdout.write(
      blocks
        .flat()
        .map((line) => `${escapeControl(line)}\n`)
        .join(''),
    );
  }
  return answer.services.some(({ explanation }) => explanation.refusal) ? 125 : 0;
}

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

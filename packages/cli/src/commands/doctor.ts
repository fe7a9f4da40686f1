/** `doctor`: what this host can provide, what is missing, and how to get it. */
import type { Check, LevelReport } from '@bulkhead/contract/types';
import type { Command } from '../command.ts';
import { escapeControl } from '../terminal.ts';

const MARK = { ok: 'ok  ', warning: 'warn', failed: 'FAIL' } as const;

export const command: Command = {
  usage: '[FLAGS]',
  summary: 'Probe what this host can provide',
  description: 'Ends with 1 where the container level is missing or a check failed.',
  flags: [
    { name: 'refresh', kind: 'switch', meaning: 'Probe again instead of taking the cached answer' },
    { name: 'format', kind: 'text', choices: ['json'], meaning: 'As JSON' },
  ],
  examples: ['bulkhead doctor --refresh'],
  subject: 'none',
  arguments: [0, 0],
  async run({ flags, client }) {
    const found = await (await client()).doctor({ refresh: flags.on('refresh') });
    if (flags.text('format') === 'json') process.stdout.write(`${JSON.stringify(found)}\n`);
    else {
      const lines = [
        'Levels:',
        ...found.levels.flatMap(levelLines),
        '',
        'Checks:',
        ...found.checks.flatMap(checkLines),
      ];
      process.stdout.write(`${lines.map((line) => escapeControl(line)).join('\n')}\n`);
    }
    const container = found.levels.find((level) => level.level === 'container');
    return container?.available && !found.checks.some((check) => check.status === 'failed') ? 0 : 1;
  },
};

function levelLines(report: LevelReport): string[] {
  const detail = Object.entries(report.detail).map(([key, value]) => `${key}=${value}`);
  const what = report.available ? report.holds : (report.reason ?? 'not available');
  const lines = [`  ${report.available ? 'yes ' : 'no  '} ${report.level.padEnd(10)} ${what}`];
  if (report.available && detail.length > 0) lines.push(`                  ${detail.join(' ')}`);
  if (!report.available && report.fix) lines.push(`                  fix: ${report.fix}`);
  return lines;
}

function checkLines(check: Check): string[] {
  const lines = [`  ${MARK[check.status]} ${check.name}: ${check.found}`];
  if (check.means) lines.push(`       ${check.means}`);
  if (check.status !== 'ok' && check.fix) lines.push(`       fix: ${check.fix}`);
  return lines;
}

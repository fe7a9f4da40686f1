/** The text of `--help`, from the command table. */
import type { Command, Flag } from './command.ts';
import { HELP } from './flags.ts';
import { GROUPS, TABLE } from './table.ts';

export const GLOBAL_FLAGS: readonly Flag[] = [
  { name: 'host', short: 'H', kind: 'text', value: 'SOCKET', meaning: "The engine's socket (default $BULKHEAD_HOST)" },
  { name: 'version', short: 'v', kind: 'switch', meaning: 'Show the version' },
  HELP,
];

function rows(pairs: [string, string][]): string {
  const width = Math.max(...pairs.map(([left]) => left.length));
  return pairs.map(([left, right]) => `  ${left.padEnd(width)}   ${right}`.trimEnd()).join('\n');
}

export function flagLines(flags: readonly Flag[]): [string, string][] {
  return flags
    .filter((flag) => !flag.hidden)
    .map((flag) => {
      const short = flag.short ? `-${flag.short}, ` : '    ';
      const value = flag.kind === 'switch' ? '' : ` ${flag.choices ? flag.choices.join('|') : (flag.value ?? 'VALUE')}`;
      return [`${short}--${flag.name}${value}`, flag.meaning + (flag.kind === 'list' ? ' (repeatable)' : '')];
    });
}

export function overview(): string {
  const single = Object.entries(TABLE).filter(([name, entry]) => !name.includes(' ') && !entry.hidden);
  return [
    'Usage: bulkhead [FLAGS] COMMAND',
    '',
    'Runs trusted and untrusted work side by side, each at the isolation level it deserves.',
    '',
    'Commands:',
    rows(single.map(([name, entry]) => [name, entry.summary])),
    '',
    'Groups:',
    rows(Object.entries(GROUPS)),
    '',
    'Flags:',
    rows(flagLines(GLOBAL_FLAGS)),
    '',
    'See `bulkhead COMMAND --help`.',
    '',
  ].join('\n');
}

export function groupHelp(group: string): string {
  const members = Object.entries(TABLE).filter(([name]) => name.startsWith(`${group} `));
  return [
    `Usage: bulkhead ${group} COMMAND`,
    '',
    `${GROUPS[group]}.`,
    '',
    'Commands:',
    rows(members.map(([name, entry]) => [name.slice(group.length + 1), entry.summary])),
    '',
    `See \`bulkhead ${group} COMMAND --help\`.`,
    '',
  ].join('\n');
}

export function commandHelp(name: string, command: Command): string {
  const parts = [`Usage: bulkhead ${name} ${command.usage}`.trimEnd(), '', `${command.summary}.`];
  if (command.description) parts.push('', command.description);
  parts.push('', 'Flags:', rows(flagLines([...command.flags, HELP])));
  if (command.examples.length > 0) parts.push('', 'Examples:', ...command.examples.map((line) => `  ${line}`));
  return `${parts.join('\n')}\n`;
}

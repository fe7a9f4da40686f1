/** Writes docs/cli.md from the command table; with --check it only says whether that is up to date. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { commandHelp, overview } from '../packages/cli/src/help.ts';
import { GROUPS, TABLE } from '../packages/cli/src/table.ts';

const FILE = fileURLToPath(new URL('../docs/cli.md', import.meta.url));

const CONVENTIONS = `Where Docker has the same command, it has the same name here, and the same flags, columns and exit codes.

- Flags: \`--name value\`, \`--name=value\`, \`-n value\`, \`-nvalue\`; switches combine (\`-itd\`); \`--\` ends them. After the
  image of \`run\`, \`create\` and \`explain\`, and after the instance of \`exec\`, everything belongs to the task.
- Lists: \`--format json\` prints one JSON value a line in the API's own shape, \`-q\` ids or names alone.
- Exit codes: 125 Bulkhead refused or failed, 126 the command cannot be run, 127 it was not found, 128+n signal n ended
  the task, 1 what was named is not there or not in the right state. [errors.md](errors.md) lists all codes.
- Errors go to stderr: \`bulkhead: what happened\`, then \`hint: the way out\`.
- \`BULKHEAD_HOST\` or \`--host\` names the engine's socket: \`unix:///run/bulkhead/api.sock\` is the default.
- Names, labels and messages are shown with control characters escaped; the streams of a task are passed on untouched.`;

const fence = (text: string): string => `\`\`\`text\n${text.trimEnd()}\n\`\`\``;

async function render(): Promise<string> {
  const parts = [
    '# Commands',
    'Made from the command table by `scripts/cli-doc.ts`; do not edit.',
    CONVENTIONS,
    fence(overview()),
  ];
  const sameAs = new Map<unknown, string>();
  for (const [name, entry] of Object.entries(TABLE)) {
    if (entry.hidden) continue;
    const { command } = await entry.load();
    parts.push(`## bulkhead ${name}`);
    const first = sameAs.get(command);
    if (first !== undefined) parts.push(`The same as \`bulkhead ${first}\`.`);
    else parts.push(fence(commandHelp(name, command)));
    sameAs.set(command, first ?? name);
  }
  parts.push(
    `Groups: ${Object.keys(GROUPS)
      .map((name) => `\`${name}\``)
      .join(', ')}.`,
  );
  return `${parts.join('\n\n')}\n`;
}

const wanted = await render();
if (process.argv.includes('--check')) {
  let found = '';
  try {
    found = readFileSync(FILE, 'utf8');
  } catch {
    // Reported below as out of date.
  }
  if (found !== wanted) {
    process.stderr.write('docs/cli.md is out of date: run `node scripts/cli-doc.ts`\n');
    process.exitCode = 1;
  }
} else writeFileSync(FILE, wanted);

/** `version`: of the client, and of the engine where it answers. */
import { readFileSync } from 'node:fs';
import type { Command } from '../command.ts';
import { report } from '../report.ts';
import { escapeControl } from '../terminal.ts';

export const command: Command = {
  usage: '[FLAGS]',
  summary: 'Show versions',
  flags: [
    { name: 'client', kind: 'switch', meaning: 'Only that of the client: the engine is not asked' },
    { name: 'format', short: 'f', kind: 'text', choices: ['json'], meaning: 'As JSON' },
  ],
  examples: ['bulkhead version --client'],
  subject: 'none',
  arguments: [0, 0],
  async run({ flags, client }) {
    const own = { version: ownVersion(), node: process.versions.node };
    const json = flags.text('format') === 'json';
    if (!json) process.stdout.write(`Client: bulkhead ${own.version}, Node ${own.node}\n`);
    if (flags.on('client')) {
      if (json) process.stdout.write(`${JSON.stringify({ client: own })}\n`);
      return 0;
    }
    try {
      const engine = await (await client()).version();
      if (json) process.stdout.write(`${JSON.stringify({ client: own, engine })}\n`);
      else {
        const facts = Object.entries(engine).map(([key, value]) => `${key} ${String(value)}`);
        process.stdout.write(`Engine: ${escapeControl(facts.join(', '))}\n`);
      }
      return 0;
    } catch (error) {
      if (json) process.stdout.write(`${JSON.stringify({ client: own })}\n`);
      return report(error, process.env);
    }
  },
};

function ownVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

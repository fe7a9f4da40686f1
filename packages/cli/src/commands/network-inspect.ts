/** `network inspect`: everything about networks, as a JSON array. */
import type { Command } from '../command.ts';
import { inspectAll } from '../inspection.ts';

export const command: Command = {
  usage: '[FLAGS] NETWORK [NETWORK...]',
  summary: 'Show everything about networks',
  flags: [{ name: 'format', short: 'f', kind: 'text', choices: ['json'], meaning: 'One JSON value a line' }],
  examples: ['bulkhead network inspect back'],
  subject: 'network',
  arguments: [1, Number.POSITIVE_INFINITY],
  async run({ flags, args, client }) {
    const engine = await client();
    return inspectAll(flags, args, (name) => engine.inspectNetwork(name));
  },
};

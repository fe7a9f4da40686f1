/** `volume inspect`: everything about volumes, as a JSON array. */
import type { Command } from '../command.ts';
import { inspectAll } from '../inspection.ts';

export const command: Command = {
  usage: '[FLAGS] VOLUME [VOLUME...]',
  summary: 'Show everything about volumes',
  flags: [{ name: 'format', short: 'f', kind: 'text', choices: ['json'], meaning: 'One JSON value a line' }],
  examples: ['bulkhead volume inspect data'],
  subject: 'volume',
  arguments: [1, Number.POSITIVE_INFINITY],
  async run({ flags, args, client }) {
    const engine = await client();
    return inspectAll(flags, args, (name) => engine.inspectVolume(name));
  },
};

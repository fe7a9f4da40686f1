/** `image inspect`: everything about images, as a JSON array. */
import type { Command } from '../command.ts';
import { inspectAll } from '../inspection.ts';

export const command: Command = {
  usage: '[FLAGS] IMAGE [IMAGE...]',
  summary: 'Show everything about images',
  flags: [{ name: 'format', short: 'f', kind: 'text', choices: ['json'], meaning: 'One JSON value a line' }],
  examples: ['bulkhead image inspect alpine:3'],
  subject: 'image',
  arguments: [1, Number.POSITIVE_INFINITY],
  async run({ flags, args, client }) {
    const engine = await client();
    return inspectAll(flags, args, (name) => engine.inspectImage(name));
  },
};

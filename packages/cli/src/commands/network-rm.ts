/** `network rm`: a network no instance is on. */
import type { Command } from '../command.ts';
import { forEach } from '../targets.ts';

export const command: Command = {
  usage: 'NETWORK [NETWORK...]',
  summary: 'Remove networks',
  flags: [],
  examples: ['bulkhead network rm back'],
  subject: 'network',
  arguments: [1, Number.POSITIVE_INFINITY],
  async run({ args, client }) {
    const engine = await client();
    return forEach(args, async (name) => {
      await engine.removeNetwork(name);
      return name;
    });
  },
};

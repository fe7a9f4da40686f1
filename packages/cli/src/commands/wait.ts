/** `wait`: answers when instances have ended. */
import type { Command } from '../command.ts';
import { forEach } from '../targets.ts';

export const command: Command = {
  usage: 'INSTANCE [INSTANCE...]',
  summary: 'Wait until instances end; print exit codes',
  flags: [],
  examples: ['bulkhead wait job'],
  subject: 'instance',
  arguments: [1, Number.POSITIVE_INFINITY],
  async run({ args, client }) {
    const engine = await client();
    return forEach(args, async (name) => String((await engine.waitInstance(name)).exitCode));
  },
};

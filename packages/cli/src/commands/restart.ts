/** `restart`: stop and start. */
import type { Command } from '../command.ts';
import { STOP_FLAGS, stopQuery } from '../stop-flags.ts';
import { forEach } from '../targets.ts';

export const command: Command = {
  usage: '[FLAGS] INSTANCE [INSTANCE...]',
  summary: 'Stop and start instances',
  flags: STOP_FLAGS,
  examples: ['bulkhead restart -t 30 web'],
  subject: 'instance',
  arguments: [1, Number.POSITIVE_INFINITY],
  async run({ flags, args, client }) {
    const query = stopQuery(flags);
    const engine = await client();
    return forEach(args, async (name) => {
      await engine.restartInstance(name, query);
      return name;
    });
  },
};

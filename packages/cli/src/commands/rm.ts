/** `rm`: removes instances and what they wrote. */
import type { Command } from '../command.ts';
import { forEach } from '../targets.ts';

export const command: Command = {
  usage: '[FLAGS] INSTANCE [INSTANCE...]',
  summary: 'Remove instances',
  flags: [
    { name: 'force', short: 'f', kind: 'switch', meaning: 'Kill running ones first' },
    { name: 'volumes', short: 'v', kind: 'switch', meaning: 'Also remove their anonymous volumes' },
  ],
  examples: ['bulkhead rm -f web'],
  subject: 'instance',
  arguments: [1, Number.POSITIVE_INFINITY],
  async run({ flags, args, client }) {
    const engine = await client();
    const query = { force: flags.on('force'), volumes: flags.on('volumes') };
    return forEach(args, async (name) => {
      await engine.removeInstance(name, query);
      return name;
    });
  },
};

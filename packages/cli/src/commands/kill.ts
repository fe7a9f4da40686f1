/** `kill`: sends a signal to the main process. */
import type { Command } from '../command.ts';
import { forEach } from '../targets.ts';

export const command: Command = {
  usage: '[FLAGS] INSTANCE [INSTANCE...]',
  summary: 'Send a signal to instances',
  flags: [{ name: 'signal', short: 's', kind: 'text', value: 'SIGNAL', meaning: 'Name or number (default KILL)' }],
  examples: ['bulkhead kill -s HUP web'],
  subject: 'instance',
  arguments: [1, Number.POSITIVE_INFINITY],
  async run({ flags, args, client }) {
    const signal = flags.text('signal');
    const engine = await client();
    return forEach(args, async (name) => {
      await engine.killInstance(name, signal === undefined ? {} : { signal });
      return name;
    });
  },
};

/** `volume rm`: a volume and all that is in it. */
import type { Command } from '../command.ts';
import { forEach } from '../targets.ts';

export const command: Command = {
  usage: '[FLAGS] VOLUME [VOLUME...]',
  summary: 'Remove volumes',
  flags: [{ name: 'force', short: 'f', kind: 'switch', meaning: 'No error where there is none' }],
  examples: ['bulkhead volume rm data'],
  subject: 'volume',
  arguments: [1, Number.POSITIVE_INFINITY],
  async run({ flags, args, client }) {
    const engine = await client();
    return forEach(args, async (name) => {
      await engine.removeVolume(name, { force: flags.on('force') });
      return name;
    });
  },
};

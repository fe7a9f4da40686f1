/** `rmi`: untags, and removes with the last name. */
import type { Command } from '../command.ts';
import { forEach } from '../targets.ts';
import { escapeControl } from '../terminal.ts';

export const command: Command = {
  usage: '[FLAGS] IMAGE [IMAGE...]',
  summary: 'Remove images',
  flags: [{ name: 'force', short: 'f', kind: 'switch', meaning: 'Also with several names or stopped instances' }],
  examples: ['bulkhead rmi alpine:3'],
  subject: 'image',
  arguments: [1, Number.POSITIVE_INFINITY],
  async run({ flags, args, client }) {
    const engine = await client();
    return forEach(args, async (name) => {
      const { untagged, deleted } = await engine.removeImage(name, { force: flags.on('force') });
      const lines = [...untagged.map((one) => `Untagged: ${one}`), ...deleted.map((one) => `Deleted: ${one}`)];
      return lines.length > 0 ? escapeControl(lines.join('\n'), '\n') : undefined;
    });
  },
};

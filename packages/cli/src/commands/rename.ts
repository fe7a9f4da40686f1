/** `rename`: another name for an instance. */
import type { Command } from '../command.ts';

export const command: Command = {
  usage: 'INSTANCE NAME',
  summary: 'Give an instance another name',
  flags: [],
  examples: ['bulkhead rename web web-old'],
  subject: 'instance',
  arguments: [2, 2],
  async run({ args, client }) {
    await (await client()).renameInstance(args[0]!, args[1]!);
  },
};

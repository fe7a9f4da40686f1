/** `tag`: another name for an image. */
import type { Command } from '../command.ts';

export const command: Command = {
  usage: 'IMAGE NAME',
  summary: 'Give an image another name',
  flags: [],
  examples: ['bulkhead tag alpine:3 registry.example/base:1'],
  subject: 'image',
  arguments: [2, 2],
  async run({ args, client }) {
    await (await client()).tagImage(args[0]!, args[1]!);
  },
};

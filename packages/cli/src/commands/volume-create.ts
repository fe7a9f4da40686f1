/** `volume create`: a named directory that outlives instances. */
import type { Command } from '../command.ts';
import { pairs } from '../task-body.ts';
import { escapeControl } from '../terminal.ts';

export const command: Command = {
  usage: '[FLAGS] [NAME]',
  summary: 'Make a volume',
  flags: [
    { name: 'label', kind: 'list', value: 'NAME=VALUE', meaning: 'Label it' },
    { name: 'name', kind: 'text', value: 'NAME', meaning: 'As the argument', hidden: true },
  ],
  examples: ['bulkhead volume create data'],
  subject: 'none',
  arguments: [0, 1],
  async run({ flags, args, client }) {
    const name = args[0] ?? flags.text('name');
    const volume = await (await client()).createVolume({
      ...(name === undefined ? {} : { name }),
      ...(flags.has('label') ? { labels: pairs(flags.list('label'), '--label', '') } : {}),
    });
    process.stdout.write(`${escapeControl(volume.name)}\n`);
  },
};

/** `network create`: a bridge of its own with names and a way out. */
import type { Command } from '../command.ts';
import { pairs } from '../task-body.ts';
import { escapeControl } from '../terminal.ts';

export const command: Command = {
  usage: '[FLAGS] NAME',
  summary: 'Make a network',
  flags: [
    { name: 'subnet', kind: 'text', value: 'CIDR', meaning: 'Addresses (default: a free range)' },
    { name: 'internal', kind: 'switch', meaning: 'No way out of the network' },
    { name: 'label', kind: 'list', value: 'NAME=VALUE', meaning: 'Label it' },
  ],
  examples: ['bulkhead network create --internal back'],
  subject: 'none',
  arguments: [1, 1],
  async run({ flags, args, client }) {
    const subnet = flags.text('subnet');
    const network = await (await client()).createNetwork({
      name: args[0]!,
      ...(subnet === undefined ? {} : { subnet }),
      ...(flags.on('internal') ? { internal: true } : {}),
      ...(flags.has('label') ? { labels: pairs(flags.list('label'), '--label', '') } : {}),
    });
    process.stdout.write(`${escapeControl(network.id)}\n`);
  },
};

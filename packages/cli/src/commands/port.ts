/** `port`: what of an instance can be reached on the host. */
import { BulkheadError } from '@bulkhead/contract/errors';
import type { Command } from '../command.ts';

export const command: Command = {
  usage: 'INSTANCE [PORT[/tcp|udp]]',
  summary: "Show an instance's published ports",
  flags: [],
  examples: ['bulkhead port web', 'bulkhead port web 80/tcp'],
  subject: 'instance',
  arguments: [1, 2],
  async run({ args, client }) {
    const [name, wanted] = args;
    const { summary } = await (await client()).inspectInstance(name!);
    const published = summary.ports.filter((port) => port.hostPort);
    const inside = (port: (typeof published)[number]) => `${port.port}/${port.protocol ?? 'tcp'}`;
    const full = wanted === undefined || wanted.includes('/') ? wanted : `${wanted}/tcp`;
    const shown = full === undefined ? published : published.filter((port) => inside(port) === full);
    if (full !== undefined && shown.length === 0)
      throw new BulkheadError('not_found', `no public port ${full} published for ${name}`, {
        hint: `See \`bulkhead port ${name}\`.`,
      });
    for (const port of shown) {
      const outside = `${port.hostIp ?? '0.0.0.0'}:${port.hostPort}`;
      process.stdout.write(full === undefined ? `${inside(port)} -> ${outside}\n` : `${outside}\n`);
    }
  },
};

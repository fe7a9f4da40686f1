/** `network ls`: the networks. */
import type { Command } from '../command.ts';
import { FILTER, filterRows, hasLabel, LIST_FLAGS, NO_TRUNC, printList, shortId } from '../listing.ts';

export const command: Command = {
  usage: '[FLAGS]',
  summary: 'List networks',
  flags: [FILTER, ...LIST_FLAGS, NO_TRUNC],
  examples: ['bulkhead network ls'],
  subject: 'none',
  arguments: [0, 0],
  async run({ flags, client }) {
    const rows = filterRows(await (await client()).listNetworks(), flags.list('filter'), {
      name: (row, value) => row.name.includes(value),
      id: (row, value) => row.id.startsWith(value),
      label: (row, value) => hasLabel(row.labels, value),
    });
    const full = flags.on('no-trunc');
    printList(
      flags,
      rows,
      [
        { title: 'NETWORK ID', value: (row) => shortId(row.id, full) },
        { title: 'NAME', value: (row) => row.name },
        { title: 'DRIVER', value: () => 'bridge' },
        { title: 'SCOPE', value: () => 'local' },
        { title: 'SUBNET', value: (row) => row.subnet },
        { title: 'INTERNAL', value: (row) => String(row.internal) },
      ],
      (row) => shortId(row.id, full),
    );
  },
};

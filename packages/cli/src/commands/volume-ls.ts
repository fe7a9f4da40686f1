/** `volume ls`: the volumes. */
import type { Command } from '../command.ts';
import { FILTER, filterRows, hasLabel, LIST_FLAGS, printList } from '../listing.ts';

export const command: Command = {
  usage: '[FLAGS]',
  summary: 'List volumes',
  flags: [FILTER, ...LIST_FLAGS],
  examples: ['bulkhead volume ls -q'],
  subject: 'none',
  arguments: [0, 0],
  async run({ flags, client }) {
    const rows = filterRows(await (await client()).listVolumes(), flags.list('filter'), {
      name: (row, value) => row.name.includes(value),
      label: (row, value) => hasLabel(row.labels, value),
      anonymous: (row, value) => row.anonymous === ['true', '1'].includes(value),
    });
    rows.sort((a, b) => (a.name < b.name ? -1 : 1));
    printList(
      flags,
      rows,
      [
        { title: 'DRIVER', value: () => 'local' },
        { title: 'VOLUME NAME', value: (row) => row.name },
      ],
      (row) => row.name,
    );
  },
};

/** `top`: the processes inside a running instance. */
import type { Command } from '../command.ts';
import { formatTable, LIST_FLAGS } from '../listing.ts';

export const command: Command = {
  usage: 'INSTANCE',
  summary: 'Show the processes inside an instance',
  description: 'Process ids are those the task knows, at every level.',
  flags: LIST_FLAGS.filter((flag) => flag.name === 'format'),
  examples: ['bulkhead top web'],
  subject: 'instance',
  arguments: [1, 1],
  async run({ flags, args, client }) {
    const { titles, processes } = await (await client()).top(args[0]!);
    const columns = titles.map((title, index) => ({ title, value: (row: string[]) => row[index] ?? '' }));
    const named = (row: string[]) =>
      Object.fromEntries(titles.map((title, index) => [title.toLowerCase(), row[index]]));
    const lines =
      flags.text('format') === 'json'
        ? processes.map((row) => JSON.stringify(named(row)))
        : formatTable(columns, processes);
    process.stdout.write(`${lines.join('\n')}\n`);
  },
};

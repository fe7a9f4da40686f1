/** `stats`: what instances use, redrawn on a terminal. */
import type { Stats } from '@bulkhead/contract/types';
import type { Command } from '../command.ts';
import { type Column, formatTable, LIST_FLAGS, NO_TRUNC, printList, shortId } from '../listing.ts';
import { humanBytes, humanSize } from '../quantities.ts';
import { LiveBlock } from '../terminal.ts';

export const command: Command = {
  usage: '[FLAGS] [INSTANCE...]',
  summary: 'Show what instances use',
  flags: [{ name: 'no-stream', kind: 'switch', meaning: 'Once, not every second' }, LIST_FLAGS[0]!, NO_TRUNC],
  examples: ['bulkhead stats', 'bulkhead stats --no-stream --format json web'],
  subject: 'instance',
  arguments: [0, Number.POSITIVE_INFINITY],
  async run({ flags, args, client }) {
    const once = flags.on('no-stream');
    const lines = (await client()).stats({ once, ...(args.length > 0 ? { ref: args } : {}) });
    const table = columns(flags.on('no-trunc'));
    if (flags.text('format') === 'json') {
      for await (const row of lines) process.stdout.write(`${JSON.stringify(row)}\n`);
    } else if (once) {
      const rows: Stats[] = [];
      for await (const row of lines) rows.push(row);
      printList(flags, rows, table, (row) => row.id);
    } else await live(lines, table);
  },
};

/** A row that comes again begins the next round: then the last round is complete and is drawn. */
async function live(lines: AsyncIterable<Stats>, table: Column<Stats>[]): Promise<void> {
  const block = process.stdout.isTTY ? new LiveBlock(process.stdout) : undefined;
  const show = (rows: Stats[]): void => {
    const text = formatTable(table, rows);
    if (block) block.draw(text);
    else process.stdout.write(`${text.join('\n')}\n`);
  };
  if (block) show([]);
  let round = new Map<string, Stats>();
  let timer: NodeJS.Timeout | undefined;
  const flush = (): void => {
    clearTimeout(timer);
    if (round.size > 0) show([...round.values()]);
    round = new Map();
  };
  for await (const row of lines) {
    if (round.has(row.id)) flush();
    round.set(row.id, row);
    clearTimeout(timer);
    timer = setTimeout(flush, 200);
  }
  flush();
}

function columns(full: boolean): Column<Stats>[] {
  return [
    { title: 'CONTAINER ID', value: (row) => shortId(row.id, full) },
    { title: 'NAME', value: (row) => row.name },
    { title: 'LEVEL', value: (row) => row.level },
    { title: 'CPU %', value: (row) => `${row.cpuPercent.toFixed(2)}%` },
    {
      title: 'MEM USAGE / LIMIT',
      value: (row) => `${humanBytes(row.memoryBytes)} / ${humanBytes(row.memoryLimitBytes)}`,
    },
    { title: 'MEM %', value: (row) => percent(row.memoryBytes, row.memoryLimitBytes) },
    { title: 'NET I/O', value: (row) => `${humanSize(row.networkReceivedBytes)} / ${humanSize(row.networkSentBytes)}` },
    { title: 'BLOCK I/O', value: (row) => `${humanSize(row.blockReadBytes)} / ${humanSize(row.blockWrittenBytes)}` },
    { title: 'PIDS', value: (row) => String(row.pids) },
  ];
}

function percent(part: number, whole: number): string {
  return `${whole > 0 ? ((part / whole) * 100).toFixed(2) : '0.00'}%`;
}

/** `ps`: the instances, as Docker lists containers, with their level. */
import type { InstanceSummary, Port } from '@bulkhead/contract/types';
import type { Command } from '../command.ts';
import { type Column, FILTER, LIST_FLAGS, NO_TRUNC, parseFilters, printList, shortId } from '../listing.ts';
import { ago, humanDuration, parseInteger } from '../quantities.ts';

const FILTERS = ['name', 'id', 'status', 'label', 'level', 'ancestor', 'network', 'volume', 'health', 'exited'];
const COMMAND_LENGTH = 20;

export const command: Command = {
  usage: '[FLAGS]',
  summary: 'List instances',
  flags: [
    { name: 'all', short: 'a', kind: 'switch', meaning: 'Also those that do not run' },
    FILTER,
    { name: 'last', short: 'n', kind: 'text', value: 'N', meaning: 'The N newest, in any state' },
    { name: 'latest', short: 'l', kind: 'switch', meaning: 'The newest, in any state' },
    ...LIST_FLAGS,
    NO_TRUNC,
  ],
  examples: ['bulkhead ps -a', 'bulkhead ps -f level=microvm --format json', 'bulkhead rm $(bulkhead ps -aq)'],
  subject: 'none',
  arguments: [0, 0],
  async run({ flags, client }) {
    const filter = parseFilters(flags.list('filter'), FILTERS);
    const last = flags.on('latest') ? 1 : flags.has('last') ? parseInteger(flags.text('last')!, '--last', -1) : -1;
    const asksState = filter.some((one) => one.startsWith('status=') || one.startsWith('exited='));
    const all = flags.on('all') || last > 0 || asksState;
    const rows = await (await client()).listInstances({ all, ...(filter.length > 0 ? { filter } : {}) });
    rows.sort((a, b) => b.createdAt - a.createdAt);
    const full = flags.on('no-trunc');
    printList(flags, last > 0 ? rows.slice(0, last) : rows, columns(full, Date.now()), (row) => shortId(row.id, full));
  },
};

function columns(full: boolean, nowMs: number): Column<InstanceSummary>[] {
  return [
    { title: 'CONTAINER ID', value: (row) => shortId(row.id, full) },
    { title: 'IMAGE', value: (row) => row.image },
    { title: 'COMMAND', value: (row) => commandText(row.command, full) },
    { title: 'CREATED', value: (row) => ago(row.createdAt, nowMs) },
    { title: 'STATUS', value: (row) => statusText(row, nowMs) },
    { title: 'LEVEL', value: (row) => row.level },
    { title: 'PORTS', value: (row) => row.ports.map(portText).join(', ') },
    { title: 'NAMES', value: (row) => row.name },
  ];
}

export function commandText(words: readonly string[], full: boolean): string {
  const text = words.join(' ');
  const points = [...text];
  return full || points.length <= COMMAND_LENGTH ? `"${text}"` : `"${points.slice(0, COMMAND_LENGTH - 1).join('')}…"`;
}

export function statusText(row: InstanceSummary, nowMs: number): string {
  switch (row.state) {
    case 'running':
    case 'stopping': {
      const health =
        row.health === 'starting' ? ' (health: starting)' : row.health === 'none' ? '' : ` (${row.health})`;
      const up = `Up ${humanDuration(Math.max(0, nowMs - (row.startedAt ?? nowMs)))}`;
      return row.state === 'stopping' ? `${up} (stopping)` : up + (row.health ? health : '');
    }
    case 'stopped':
      if (row.startedAt === undefined) return 'Created';
      return `Exited (${row.exitCode ?? '?'}) ${ago(row.finishedAt, nowMs)}`;
    case 'failed':
      return row.exitCode === undefined
        ? `Failed ${ago(row.finishedAt ?? row.createdAt, nowMs)}`
        : `Failed (${row.exitCode}) ${ago(row.finishedAt ?? row.createdAt, nowMs)}`;
    case 'pending':
      return 'Created';
    case 'preparing':
    case 'starting':
      return 'Starting';
    default:
      return row.state;
  }
}

export function portText(port: Port): string {
  const inside = `${port.port}/${port.protocol ?? 'tcp'}`;
  if (!port.hostPort) return inside;
  const ip = port.hostIp ?? '0.0.0.0';
  return `${ip.includes(':') ? `[${ip}]` : ip}:${port.hostPort}->${inside}`;
}

/** `events`: what happened, and what happens. */
import type { Event } from '@bulkhead/contract/types';
import type { Command } from '../command.ts';
import { FILTER, LIST_FLAGS, parseFilters } from '../listing.ts';
import { parseTime } from '../quantities.ts';
import { escapeControl } from '../terminal.ts';

export const command: Command = {
  usage: '[FLAGS]',
  summary: 'Show what happens',
  flags: [
    { name: 'since', kind: 'text', value: 'TIME', meaning: 'Begin with what happened since then' },
    { name: 'until', kind: 'text', value: 'TIME', meaning: 'Stop there instead of following' },
    FILTER,
    LIST_FLAGS[0]!,
  ],
  examples: ['bulkhead events --since 10m -f type=instance'],
  subject: 'none',
  arguments: [0, 0],
  async run({ flags, client }) {
    const [since, until] = [flags.text('since'), flags.text('until')];
    const filter = parseFilters(flags.list('filter'), ['type', 'action', 'instance', 'image']);
    const now = Date.now();
    const events = (await client()).events({
      ...(since === undefined ? {} : { since: parseTime(since, '--since', now) }),
      ...(until === undefined ? {} : { until: parseTime(until, '--until', now) }),
      ...(filter.length > 0 ? { filter } : {}),
    });
    const json = flags.text('format') === 'json';
    for await (const event of events) process.stdout.write(`${json ? JSON.stringify(event) : eventLine(event)}\n`);
  },
};

function eventLine({ at, type, action, id, attributes }: Event): string {
  const facts = Object.entries(attributes).map(([key, value]) => `${key}=${value}`);
  const tail = facts.length > 0 ? ` (${facts.join(', ')})` : '';
  return escapeControl(`${new Date(at).toISOString()} ${type} ${action} ${id}${tail}`);
}

/** `image prune`: removes images nothing uses. */
import type { Command } from '../command.ts';
import { confirm, PRUNE_FORCE, tellPruned } from '../pruning.ts';

export const command: Command = {
  usage: '[FLAGS]',
  summary: 'Remove images nothing uses',
  flags: [{ name: 'all', short: 'a', kind: 'switch', meaning: 'Also tagged images no instance uses' }, PRUNE_FORCE],
  examples: ['bulkhead image prune -f'],
  subject: 'none',
  arguments: [0, 0],
  async run({ flags, client }) {
    if (
      !(await confirm(
        flags,
        flags.on('all') ? 'This removes all images no instance uses.' : 'This removes all untagged images.',
      ))
    )
      return;
    tellPruned('images', await (await client()).pruneImages({ all: flags.on('all') }), true);
  },
};

/** `network prune`: removes networks nothing uses. */
import type { Command } from '../command.ts';
import { confirm, PRUNE_FORCE, tellPruned } from '../pruning.ts';

export const command: Command = {
  usage: '[FLAGS]',
  summary: 'Remove networks nothing uses',
  flags: [PRUNE_FORCE],
  examples: ['bulkhead network prune -f'],
  subject: 'none',
  arguments: [0, 0],
  async run({ flags, client }) {
    if (!(await confirm(flags, 'This removes all networks no instance uses.'))) return;
    tellPruned('networks', await (await client()).pruneNetworks(), true);
  },
};

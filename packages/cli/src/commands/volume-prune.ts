/** `volume prune`: removes volumes nothing uses. */
import type { Command } from '../command.ts';
import { confirm, PRUNE_FORCE, tellPruned } from '../pruning.ts';

export const command: Command = {
  usage: '[FLAGS]',
  summary: 'Remove volumes nothing uses',
  flags: [{ name: 'all', short: 'a', kind: 'switch', meaning: 'Also named volumes' }, PRUNE_FORCE],
  examples: ['bulkhead volume prune -f'],
  subject: 'none',
  arguments: [0, 0],
  async run({ flags, client }) {
    if (
      !(await confirm(
        flags,
        flags.on('all')
          ? 'This removes all volumes no instance uses.'
          : 'This removes all anonymous volumes no instance uses.',
      ))
    )
      return;
    tellPruned('volumes', await (await client()).pruneVolumes({ all: flags.on('all') }), true);
  },
};

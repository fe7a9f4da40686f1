/** `prune`: instances that do not run, networks and images nothing uses, and with --volumes volumes. */
import type { Command } from '../command.ts';
import { confirm, PRUNE_FORCE, tellPruned } from '../pruning.ts';

export const command: Command = {
  usage: '[FLAGS]',
  summary: 'Remove what nothing uses',
  description: 'Removes all instances that do not run, networks no instance uses, and untagged images.',
  flags: [
    { name: 'all', short: 'a', kind: 'switch', meaning: 'Also tagged images no instance uses' },
    { name: 'volumes', kind: 'switch', meaning: 'Also anonymous volumes no instance uses' },
    PRUNE_FORCE,
  ],
  examples: ['bulkhead prune -f', 'bulkhead system prune -a --volumes'],
  subject: 'none',
  arguments: [0, 0],
  async run({ flags, client }) {
    const [all, volumes] = [flags.on('all'), flags.on('volumes')];
    const what = ['all instances that do not run', 'all networks no instance uses'];
    if (volumes) what.push('all anonymous volumes no instance uses');
    what.push(all ? 'all images no instance uses' : 'all untagged images');
    if (!(await confirm(flags, `This removes ${what.join(', ')}.`))) return;
    const engine = await client();
    let freed = 0;
    freed += tellPruned('instances', await engine.pruneInstances());
    freed += tellPruned('networks', await engine.pruneNetworks());
    if (volumes) freed += tellPruned('volumes', await engine.pruneVolumes());
    freed += tellPruned('images', await engine.pruneImages({ all }));
    tellPruned('', { removed: [], freedBytes: freed }, true);
  },
};

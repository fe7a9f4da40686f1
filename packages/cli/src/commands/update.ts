/** `update`: other limits or another restart policy, also while it runs. */

import { BulkheadError } from '@bulkhead/contract/errors';
import type { Command } from '../command.ts';
import { forEach } from '../targets.ts';
import { limits, parseRestart } from '../task-body.ts';
import { TASK_FLAGS } from '../task-flags.ts';

const CHANGEABLE = new Set(['memory', 'cpus', 'cpu-shares', 'cpuset-cpus', 'pids-limit', 'restart']);

export const command: Command = {
  usage: '[FLAGS] INSTANCE [INSTANCE...]',
  summary: 'Change limits or the restart policy',
  flags: [...TASK_FLAGS.filter((flag) => CHANGEABLE.has(flag.name))],
  examples: ['bulkhead update --memory 512m --cpus 2 web'],
  subject: 'instance',
  arguments: [1, Number.POSITIVE_INFINITY],
  async run({ flags, args, client }) {
    const [changed, restart] = [limits(flags), flags.text('restart')];
    if (changed === undefined && restart === undefined)
      throw new BulkheadError('usage', 'nothing to change', { hint: 'Give at least one flag; see --help.' });
    const body = {
      ...(changed ? { limits: changed } : {}),
      ...(restart === undefined ? {} : { restart: parseRestart(restart) }),
    };
    const engine = await client();
    return forEach(args, async (name) => {
      await engine.updateInstance(name, body);
      return name;
    });
  },
};

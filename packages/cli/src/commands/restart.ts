/** `restart`: stop and start. */
import type { Command } from '../command.ts';
import { parseNumber } from '../quantities.ts';
import { forEach } from '../targets.ts';

export const command: Command = {
  usage: '[FLAGS] INSTANCE [INSTANCE...]',
  summary: 'Stop and start instances',
  flags: [
    { name: 'timeout', short: 't', kind: 'text', value: 'SECONDS', meaning: 'Time to stop before SIGKILL' },
    { name: 'signal', short: 's', kind: 'text', value: 'SIGNAL', meaning: 'Instead of the stop signal of the image' },
    { name: 'time', kind: 'text', value: 'SECONDS', meaning: 'As --timeout', hidden: true },
  ],
  examples: ['bulkhead restart -t 30 web'],
  subject: 'instance',
  arguments: [1, Number.POSITIVE_INFINITY],
  async run({ flags, args, client }) {
    const seconds = flags.text('timeout') ?? flags.text('time');
    const signal = flags.text('signal');
    const query = {
      ...(seconds === undefined ? {} : { timeoutMs: parseNumber(seconds, '--timeout') * 1000 }),
      ...(signal === undefined ? {} : { signal }),
    };
    const engine = await client();
    return forEach(args, async (name) => {
      await engine.restartInstance(name, query);
      return name;
    });
  },
};

/** `start`: stopped instances, or one with its streams. */
import { BulkheadError } from '@bulkhead/contract/errors';
import type { Command } from '../command.ts';
import { converse, detachKeysOf, requireTerminal } from '../conversation.ts';
import { write } from '../local-files.ts';
import { SignalForwarder } from '../signals.ts';
import { forEach } from '../targets.ts';

export const command: Command = {
  usage: '[FLAGS] INSTANCE [INSTANCE...]',
  summary: 'Start stopped instances',
  flags: [
    { name: 'attach', short: 'a', kind: 'switch', meaning: 'Connect stdout and stderr, and take the exit code' },
    { name: 'interactive', short: 'i', kind: 'switch', meaning: 'Connect stdin too' },
    { name: 'detach-keys', kind: 'text', value: 'KEYS', meaning: 'Keys that leave (default ctrl-p,ctrl-q)' },
  ],
  examples: ['bulkhead start web db', 'bulkhead start -ai job'],
  subject: 'instance',
  arguments: [1, Number.POSITIVE_INFINITY],
  async run({ flags, args, client }) {
    const detachKeys = detachKeysOf(flags);
    const engine = await client();
    if (!flags.on('attach') && !flags.on('interactive'))
      return forEach(args, async (name) => {
        await engine.startInstance(name);
        return name;
      });
    if (args.length > 1)
      throw new BulkheadError('usage', 'only one instance can be attached to', { hint: 'Leave -a and -i out.' });
    const { summary, spec } = await engine.inspectInstance(args[0]!);
    const { tty = false, openStdin = false } = spec as { tty?: boolean; openStdin?: boolean };
    const streams = { tty, stdin: flags.on('interactive') && openStdin };
    requireTerminal(streams);
    const signals = new SignalForwarder();
    signals.hold();
    const started = await engine.startInstance(summary.id);
    if (summary.startedAt === undefined || streams.stdin) {
      // The log of a first run begins with this run; of a later one what came before we joined is not shown again.
      const logs = summary.startedAt === undefined;
      const session = await engine.attach(summary.id, { stdin: streams.stdin, logs });
      return converse(session, { ...streams, detachKeys, signals });
    }
    signals.passTo((signal) => void engine.killInstance(summary.id, { signal }).catch(() => {}));
    for await (const { stream, data } of engine.logs(summary.id, { follow: true, since: started.startedAt ?? 0 }))
      await write(process[stream], Buffer.from(data, 'base64'));
    return (await engine.waitInstance(summary.id)).exitCode;
  },
};

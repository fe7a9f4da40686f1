/** `start`: stopped instances, or one with its streams. */
import { BulkheadError } from '@bulkhead/contract/errors';
import type { Command } from '../command.ts';
import { converse, detachKeysOf, requireTerminal } from '../conversation.ts';
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
    // The log holds earlier runs too, so the streams are joined first where the engine allows it before the start.
    const startedAt = Date.now();
    await engine.startInstance(summary.id);
    return (await engine
      .attach(summary.id, { stdin: streams.stdin, logs: summary.startedAt === undefined })
      .then((session) => converse(session, { ...streams, detachKeys, signals }))
      .catch(async (error: unknown) => {
        if (!(error instanceof BulkheadError) || error.code !== 'wrong_state') throw error;
        // It ended before we could join: its log has the rest.
        for await (const record of engine.logs(summary.id, { since: startedAt }))
          (record.stream === 'stdout' ? process.stdout : process.stderr).write(Buffer.from(record.data, 'base64'));
        return (await engine.waitInstance(summary.id)).exitCode;
      })) satisfies number;
  },
};

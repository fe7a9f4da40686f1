/** `attach`: joins the streams of a running instance. */
import { BulkheadError } from '@bulkhead/contract/errors';
import type { Command } from '../command.ts';
import { converse, detachKeysOf, requireTerminal } from '../conversation.ts';
import { SignalForwarder } from '../signals.ts';

export const command: Command = {
  usage: '[FLAGS] INSTANCE',
  summary: "Connect to an instance's streams",
  description: 'Ends with the exit code of the task. With a terminal, Ctrl-P Ctrl-Q leaves it running.',
  flags: [
    { name: 'detach-keys', kind: 'text', value: 'KEYS', meaning: 'Keys that leave (default ctrl-p,ctrl-q)' },
    { name: 'no-stdin', kind: 'switch', meaning: 'Do not connect stdin' },
    { name: 'sig-proxy', kind: 'switch', meaning: 'Pass signals on to the task (default true)' },
  ],
  examples: ['bulkhead attach web'],
  subject: 'instance',
  arguments: [1, 1],
  async run({ flags, args, client }) {
    const detachKeys = detachKeysOf(flags);
    const engine = await client();
    const { spec, summary } = await engine.inspectInstance(args[0]!);
    if (summary.state !== 'running')
      throw new BulkheadError('wrong_state', `cannot attach to ${args[0]}: it is ${summary.state}`, {
        hint: `Start it with \`bulkhead start -a ${summary.name}\`.`,
      });
    const { tty = false, openStdin = false } = spec as { tty?: boolean; openStdin?: boolean };
    const streams = { tty, stdin: openStdin && !flags.on('no-stdin') };
    requireTerminal(streams);
    const signals = new SignalForwarder();
    if (!flags.has('sig-proxy') || flags.on('sig-proxy')) signals.hold();
    const session = await engine.attach(summary.id, { stdin: streams.stdin });
    return converse(session, { ...streams, detachKeys, signals });
  },
};

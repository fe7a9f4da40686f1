/** `exec`: another process inside a running instance. */
import type { Command } from '../command.ts';
import { converse, detachKeysOf, requireTerminal, terminalSize } from '../conversation.ts';
import { SignalForwarder } from '../signals.ts';
import { environment } from '../task-body.ts';

export const command: Command = {
  usage: '[FLAGS] INSTANCE COMMAND [ARG...]',
  summary: 'Run a command inside an instance',
  flags: [
    { name: 'detach', short: 'd', kind: 'switch', meaning: 'Run in the background' },
    { name: 'interactive', short: 'i', kind: 'switch', meaning: 'Connect stdin' },
    { name: 'tty', short: 't', kind: 'switch', meaning: 'Give the command a terminal' },
    { name: 'env', short: 'e', kind: 'list', value: 'NAME=VALUE', meaning: 'Set a variable' },
    { name: 'env-file', kind: 'list', value: 'FILE', meaning: 'Read variables from a file' },
    { name: 'workdir', short: 'w', kind: 'text', value: 'DIR', meaning: 'Working directory' },
    { name: 'user', short: 'u', kind: 'text', value: 'USER[:GROUP]', meaning: 'Run as this user (name or id)' },
    { name: 'detach-keys', kind: 'text', value: 'KEYS', meaning: 'Keys that leave (default ctrl-p,ctrl-q)' },
  ],
  examples: ['bulkhead exec web ls -l /', 'bulkhead exec -it -u root web sh'],
  subject: 'instance',
  arguments: [2, Number.POSITIVE_INFINITY],
  flagsStopAtFirstArgument: true,
  async run({ flags, args, client }) {
    const [instance, ...words] = args;
    const streams = { tty: flags.on('tty'), stdin: flags.on('interactive') };
    const detachKeys = detachKeysOf(flags);
    const detach = flags.on('detach');
    if (!detach) requireTerminal(streams);
    const env = environment(flags, { cwd: process.cwd(), env: process.env });
    const [workdir, user] = [flags.text('workdir'), flags.text('user')];
    const engine = await client();
    const signals = new SignalForwarder();
    if (!detach) signals.hold();
    const { id } = await engine.createExec(instance!, {
      command: words,
      ...(env ? { env } : {}),
      ...(workdir === undefined ? {} : { workdir }),
      ...(user === undefined ? {} : { user }),
      ...(streams.tty ? { tty: true } : {}),
      ...(streams.stdin ? { openStdin: true } : {}),
    });
    if (detach) {
      await engine.startExecDetached(id);
      return 0;
    }
    const session = await engine.startExec(id, streams.tty ? terminalSize() : {});
    return converse(session, { ...streams, detachKeys, signals });
  },
};

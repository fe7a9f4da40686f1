/** `run`: one request to create and start, one connection for the streams. */
import { BulkheadError } from '@bulkhead/contract/errors';
import type { Command, Flag } from '../command.ts';
import { converse, detachKeysOf, requireTerminal } from '../conversation.ts';
import { checkTogether, createInstance, runInstance } from '../creation.ts';
import { SignalForwarder } from '../signals.ts';
import { taskBody } from '../task-body.ts';
import { TASK_FLAGS } from '../task-flags.ts';

const OWN_FLAGS: readonly Flag[] = [
  { name: 'detach', short: 'd', kind: 'switch', meaning: 'Run in the background and print the id' },
  {
    name: 'attach',
    short: 'a',
    kind: 'list',
    value: 'STREAM',
    choices: ['stdin', 'stdout', 'stderr'],
    meaning: 'Connect only these streams',
  },
  { name: 'detach-keys', kind: 'text', value: 'KEYS', meaning: 'Keys that leave a terminal (default ctrl-p,ctrl-q)' },
  { name: 'sig-proxy', kind: 'switch', meaning: 'Pass signals on to the task (default true)' },
];

export const command: Command = {
  usage: '[FLAGS] IMAGE [COMMAND] [ARG...]',
  summary: 'Create and start an instance',
  description:
    'Without -d the streams of the task are connected and its exit code becomes ours; 125 means that Bulkhead refused\nor failed, 126 that the command cannot be run, 127 that it was not found, 128+n that signal n ended it.',
  flags: [...OWN_FLAGS, ...TASK_FLAGS],
  examples: [
    'bulkhead run --rm alpine:3 echo hello',
    'bulkhead run -it --rm --isolation microvm debian:12 bash',
    'bulkhead run -d --name web -p 8080:80 nginx:1',
  ],
  subject: 'image',
  arguments: [1, Number.POSITIVE_INFINITY],
  flagsStopAtFirstArgument: true,
  async run({ flags, args, client }) {
    checkTogether(flags);
    const body = taskBody(flags, args, { cwd: process.cwd(), env: process.env });
    const detach = flags.on('detach');
    const chosen = flags.list('attach');
    if (detach && chosen.length > 0)
      throw new BulkheadError('usage', 'conflicting flags: --attach and --detach', { hint: 'Leave one of them out.' });
    const wants = (stream: string): boolean => chosen.length === 0 || chosen.includes(stream);
    const streams = {
      tty: flags.on('tty'),
      stdin: (flags.on('interactive') && wants('stdin')) || chosen.includes('stdin'),
      outputs: { stdout: wants('stdout'), stderr: wants('stderr') },
    };
    const detachKeys = detachKeysOf(flags);
    if (!detach) requireTerminal(streams);
    const engine = await client();
    if (detach) {
      const { id } = await createInstance(engine, { ...body, start: true }, flags);
      process.stdout.write(`${id}\n`);
      return 0;
    }
    const signals = new SignalForwarder();
    if (!flags.has('sig-proxy') || flags.on('sig-proxy')) signals.hold();
    const openStdin = streams.stdin ? { openStdin: true } : {};
    const session = await runInstance(engine, { ...body, ...openStdin, start: true }, flags, streams.stdin);
    return converse(session, { ...streams, detachKeys, signals });
  },
};

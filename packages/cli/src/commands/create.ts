/** `create`: as run, but not started. */
import type { Command } from '../command.ts';
import { checkTogether, createInstance } from '../creation.ts';
import { taskBody } from '../task-body.ts';
import { TASK_FLAGS } from '../task-flags.ts';

export const command: Command = {
  usage: '[FLAGS] IMAGE [COMMAND] [ARG...]',
  summary: 'Create an instance without starting it',
  flags: TASK_FLAGS,
  examples: ['bulkhead create --name job alpine:3 echo later', 'bulkhead start -a job'],
  subject: 'image',
  arguments: [1, Number.POSITIVE_INFINITY],
  flagsStopAtFirstArgument: true,
  async run({ flags, args, client }) {
    checkTogether(flags);
    const body = taskBody(flags, args, { cwd: process.cwd(), env: process.env });
    const { id } = await createInstance(await client(), body, flags);
    process.stdout.write(`${id}\n`);
  },
};

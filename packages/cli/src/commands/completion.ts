/** `completion`: a script for a shell, made from the command table. */

import { BulkheadError } from '@bulkhead/contract/errors';
import type { Command } from '../command.ts';
import { completionScript, SHELLS } from '../completions.ts';

export const command: Command = {
  usage: 'bash|zsh|fish',
  summary: 'Print a completion script for a shell',
  flags: [],
  examples: [
    'bulkhead completion bash > /etc/bash_completion.d/bulkhead',
    'bulkhead completion fish > ~/.config/fish/completions/bulkhead.fish',
  ],
  subject: 'none',
  arguments: [1, 1],
  async run({ args, table, groups }) {
    const shell = SHELLS.find((one) => one === args[0]);
    if (!shell) throw new BulkheadError('usage', `unknown shell "${args[0]}"`, { hint: 'Use bash, zsh or fish.' });
    process.stdout.write(await completionScript(shell, table, groups));
  },
};

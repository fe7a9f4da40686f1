/** `load`: images from a docker-archive or oci-archive. */

import { BulkheadError } from '@bulkhead/contract/errors';
import type { Command } from '../command.ts';
import { openFile } from '../local-files.ts';
import { showProgress } from '../progress.ts';
import { escapeControl } from '../terminal.ts';

export const command: Command = {
  usage: '[FLAGS]',
  summary: 'Load images from an archive',
  flags: [
    { name: 'input', short: 'i', kind: 'text', value: 'FILE', meaning: 'Archive to read (default stdin)' },
    { name: 'quiet', short: 'q', kind: 'switch', meaning: 'No progress' },
  ],
  examples: ['bulkhead load -i image.tar'],
  subject: 'none',
  arguments: [0, 0],
  async run({ flags, args, client }) {
    const input = flags.text('input');
    if (args.length === 0 && input === undefined && process.stdin.isTTY)
      throw new BulkheadError('usage', 'there is no archive on stdin', {
        hint: 'Name a file with -i, or pipe one in.',
      });
    const archive = input === undefined ? process.stdin : await openFile(input);
    const names = await showProgress((await client()).loadImage(archive), process.stderr, flags.on('quiet'));
    for (const name of (names ?? '').split(/[\s,]+/).filter((one) => one !== ''))
      process.stdout.write(`Loaded image: ${escapeControl(name)}\n`);
  },
};

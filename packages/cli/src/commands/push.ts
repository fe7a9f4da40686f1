/** `push`: an image to a registry, with its progress. */

import { resolve } from 'node:path';
import type { Command } from '../command.ts';
import { showProgress } from '../progress.ts';
import { escapeControl } from '../terminal.ts';

export const command: Command = {
  usage: '[FLAGS] IMAGE [DESTINATION]',
  summary: 'Send an image to a registry',
  flags: [
    { name: 'authfile', kind: 'text', value: 'FILE', meaning: 'Credentials, as skopeo login writes them' },
    { name: 'insecure', kind: 'switch', meaning: 'Allow plain HTTP and unknown certificates' },
    { name: 'quiet', short: 'q', kind: 'switch', meaning: 'No progress' },
  ],
  examples: ['bulkhead push registry.example/app:1', 'bulkhead push app:1 127.0.0.1:5000/app:1'],
  subject: 'image',
  arguments: [1, 2],
  async run({ flags, args, client }) {
    const [authFile, destination] = [flags.text('authfile'), args[1]];
    const lines = (await client()).pushImage({
      reference: args[0]!,
      ...(destination === undefined ? {} : { destination }),
      ...(authFile === undefined ? {} : { authFile: resolve(authFile) }),
      ...(flags.on('insecure') ? { insecure: true } : {}),
    });
    await showProgress(lines, process.stdout, flags.on('quiet'));
    process.stdout.write(`${escapeControl(destination ?? args[0]!)}\n`);
  },
};

/** `pull`: an image into the store, with its progress. */

import { resolve } from 'node:path';
import type { Command } from '../command.ts';
import { showProgress } from '../progress.ts';
import { absoluteReference } from '../references.ts';
import { escapeControl } from '../terminal.ts';

export const command: Command = {
  usage: '[FLAGS] IMAGE',
  summary: 'Get an image from a registry or archive',
  flags: [
    { name: 'platform', kind: 'text', value: 'OS/ARCH', meaning: 'Variant of a multi-platform image' },
    { name: 'authfile', kind: 'text', value: 'FILE', meaning: 'Credentials, as skopeo login writes them' },
    { name: 'insecure', kind: 'switch', meaning: 'Allow plain HTTP and unknown certificates' },
    { name: 'quiet', short: 'q', kind: 'switch', meaning: 'No progress' },
  ],
  examples: ['bulkhead pull alpine:3', 'bulkhead pull docker-archive:./image.tar'],
  subject: 'image',
  arguments: [1, 1],
  async run({ flags, args, client }) {
    const [platform, authFile] = [flags.text('platform'), flags.text('authfile')];
    const reference = absoluteReference(args[0]!, process.cwd());
    const lines = (await client()).pullImage({
      reference,
      ...(platform === undefined ? {} : { platform }),
      ...(authFile === undefined ? {} : { authFile: resolve(authFile) }),
      ...(flags.on('insecure') ? { insecure: true } : {}),
    });
    const id = await showProgress(lines, process.stdout, flags.on('quiet'));
    if (!flags.on('quiet') && id !== undefined) process.stdout.write(`Image: ${escapeControl(id)}\n`);
    process.stdout.write(`${escapeControl(reference)}\n`);
  },
};

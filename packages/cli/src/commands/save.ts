/** `save`: images to one archive. */

import { BulkheadError } from '@bulkhead/contract/errors';
import type { Command } from '../command.ts';
import { write, writeWhole } from '../local-files.ts';

export const command: Command = {
  usage: '[FLAGS] IMAGE [IMAGE...]',
  summary: 'Save images to an archive',
  flags: [
    { name: 'output', short: 'o', kind: 'text', value: 'FILE', meaning: 'File to write (default stdout)' },
    {
      name: 'format',
      kind: 'text',
      choices: ['docker-archive', 'oci-archive'],
      meaning: 'Kind of archive (default docker-archive)',
    },
  ],
  examples: ['bulkhead save -o image.tar alpine:3'],
  subject: 'image',
  arguments: [1, Number.POSITIVE_INFINITY],
  async run({ flags, args, client }) {
    const output = flags.text('output');
    if (output === undefined && process.stdout.isTTY)
      throw new BulkheadError('usage', 'an archive on a terminal helps nobody', {
        hint: 'Use -o FILE or redirect it.',
      });
    const archive = await (await client()).saveImage(args, flags.text('format') as 'docker-archive' | undefined);
    if (output === undefined) for await (const chunk of archive) await write(process.stdout, chunk as Buffer);
    else await writeWhole(output, archive);
  },
};

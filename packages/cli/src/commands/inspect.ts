/** `inspect`: everything about instances, images, volumes or networks, as a JSON array. */
import { BulkheadError } from '@bulkhead/contract/errors';
import type { Client } from '@bulkhead/sdk';
import type { Command } from '../command.ts';
import { inspectAll } from '../inspection.ts';

const KINDS = ['instance', 'image', 'volume', 'network'] as const;
type Kind = (typeof KINDS)[number];

const ABSENT = new Set(['no_such_instance', 'no_such_image', 'no_such_volume', 'no_such_network']);
/** A name that cannot be an image's or a volume's is not one: go on looking. */
const MALFORMED = new Set(['invalid_reference', 'invalid_name', 'not_found']);

export const command: Command = {
  usage: '[FLAGS] NAME [NAME...]',
  summary: 'Show everything about things',
  description: 'Looks for an instance, then an image, a volume and a network of that name.',
  flags: [
    { name: 'type', kind: 'text', choices: KINDS, meaning: 'Only look for this kind' },
    { name: 'format', short: 'f', kind: 'text', choices: ['json'], meaning: 'One JSON value a line' },
  ],
  examples: ['bulkhead inspect web', 'bulkhead inspect --type image alpine:3'],
  subject: 'instance',
  arguments: [1, Number.POSITIVE_INFINITY],
  async run({ flags, args, client }) {
    const engine = await client();
    const kinds = flags.has('type') ? [flags.text('type') as Kind] : KINDS;
    return inspectAll(flags, args, (name) => find(engine, kinds, name));
  },
};

async function find(engine: Client, kinds: readonly Kind[], name: string): Promise<unknown> {
  for (const kind of kinds) {
    try {
      return await inspectOne(engine, kind, name);
    } catch (error) {
      const goOn = error instanceof BulkheadError && (ABSENT.has(error.code) || MALFORMED.has(error.code));
      if (!goOn || kinds.length === 1) throw error;
    }
  }
  throw new BulkheadError('not_found', `there is no instance, image, volume or network "${name}"`, {
    hint: 'See `bulkhead ps -a`, `images`, `volume ls` and `network ls`.',
  });
}

function inspectOne(engine: Client, kind: Kind, name: string): Promise<unknown> {
  if (kind === 'instance') return engine.inspectInstance(name);
  if (kind === 'image') return engine.inspectImage(name);
  if (kind === 'volume') return engine.inspectVolume(name);
  return engine.inspectNetwork(name);
}

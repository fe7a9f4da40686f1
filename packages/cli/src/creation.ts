/** Creates an instance, pulling its image first with visible progress where that is needed. */
import { existsSync, writeFileSync } from 'node:fs';
import { BulkheadError } from '@bulkhead/contract/errors';
import type { CreateInstance, InstanceSummary } from '@bulkhead/contract/types';
import type { Client, Session } from '@bulkhead/sdk';
import type { Values } from './flags.ts';

const TRANSPORT = /^(docker|docker-archive|oci-archive|oci|docker-daemon):/;

/** What Docker refuses before it does anything. */
export function checkTogether(flags: Values): void {
  const restart = flags.text('restart');
  if (flags.on('rm') && restart !== undefined && restart !== 'no')
    throw new BulkheadError('usage', 'conflicting flags: --restart and --rm', { hint: 'Leave one of them out.' });
  const cidfile = flags.text('cidfile');
  if (cidfile !== undefined && existsSync(cidfile))
    throw new BulkheadError('usage', `the id file ${cidfile} is there already`, {
      hint: 'Remove it or choose another --cidfile.',
    });
}

/** One request where the image is in the store. */
export async function createInstance(client: Client, body: CreateInstance, flags: Values): Promise<InstanceSummary> {
  const summary = await withImage(client, body, flags, (request) => client.createInstance(request));
  keepId(summary.id, flags);
  return summary;
}

/** The same, with the streams of the task connected from its first byte. */
export async function runInstance(
  client: Client,
  body: CreateInstance,
  flags: Values,
  stdin: boolean,
): Promise<Session> {
  const { id, session } = await withImage(client, body, flags, (request) => client.runInstance(request, { stdin }));
  keepId(id, flags);
  return session;
}

async function withImage<T>(
  client: Client,
  body: CreateInstance,
  flags: Values,
  create: (request: CreateInstance) => Promise<T>,
): Promise<T> {
  const when = body.pull ?? 'missing';
  let request: CreateInstance = { ...body, pull: 'never' };
  if (when === 'always') request = { ...request, image: await pull(client, body.image, flags) };
  return create(request).catch(async (error: unknown) => {
    const absent = error instanceof BulkheadError && error.code === 'no_such_image';
    if (!absent || when !== 'missing') throw error;
    return create({ ...request, image: await pull(client, body.image, flags) });
  });
}

function keepId(id: string, flags: Values): void {
  const cidfile = flags.text('cidfile');
  if (cidfile !== undefined) writeFileSync(cidfile, id, { flag: 'wx' });
}

/** Progress goes to stderr: stdout belongs to the task. Gives the name to create with. */
async function pull(client: Client, reference: string, flags: Values): Promise<string> {
  const { showProgress } = await import('./progress.ts');
  const platform = flags.text('platform');
  const lines = client.pullImage({ reference, ...(platform ? { platform } : {}) });
  const id = await showProgress(lines, process.stderr);
  return TRANSPORT.test(reference) && id ? id : reference;
}

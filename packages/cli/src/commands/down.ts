/** `down`: stops the engine; what it runs goes on unless it is asked to stop too. */
import { setTimeout as sleep } from 'node:timers/promises';
import { BulkheadError } from '@bulkhead/contract/errors';
import type { Command } from '../command.ts';

const END_TIMEOUT_MS = 60_000;

export const command: Command = {
  usage: '[FLAGS]',
  summary: 'Stop the engine; instances run on',
  flags: [
    { name: 'stop', kind: 'switch', meaning: 'Stop all instances first' },
    { name: 'purge', kind: 'switch', meaning: 'Also remove networks and mounts from the host (implies --stop)' },
  ],
  examples: ['bulkhead down', 'bulkhead down --stop'],
  subject: 'none',
  arguments: [0, 0],
  async run({ flags, client }) {
    const engine = await client();
    const gone = (error: unknown) => error instanceof BulkheadError && error.code === 'engine_unreachable';
    try {
      await engine.ping();
    } catch (error) {
      const { code } = ((error as Error).cause ?? {}) as { code?: string };
      if (!gone(error) || (code !== 'ENOENT' && code !== 'ECONNREFUSED')) throw error;
      process.stdout.write('The engine is not running.\n');
      return;
    }
    const purge = flags.on('purge');
    await engine.shutdown({ stop: flags.on('stop') || purge, purge }).catch((error) => {
      // It may be gone before its answer is out.
      if (!gone(error)) throw error;
    });
    const deadline = Date.now() + END_TIMEOUT_MS;
    while (
      await engine.ping().then(
        () => true,
        () => false,
      )
    ) {
      if (Date.now() > deadline) throw new BulkheadError('timeout', 'the engine was asked to stop but still answers');
      await sleep(20);
    }
    process.stdout.write(
      flags.on('stop') || purge ? 'The engine is down.\n' : 'The engine is down; instances run on.\n',
    );
  },
};

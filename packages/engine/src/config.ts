/** The engine's command line. */
import { parseArgs } from 'node:util';
import { BulkheadError } from '@bulkhead/contract';
import { DEFAULT_DATA } from './host/paths.ts';

export interface Config {
  data: string;
  run?: string;
  policy?: string;
  foreground: boolean;
}

/** Throws `usage` for a word it does not know. */
export function parseConfig(args: string[]): Config {
  try {
    const { values } = parseArgs({
      args,
      options: {
        data: { type: 'string', default: DEFAULT_DATA },
        run: { type: 'string' },
        policy: { type: 'string' },
        foreground: { type: 'boolean', default: false },
      },
    });
    const { data, run, policy, foreground } = values;
    return { data, foreground, ...(run ? { run } : {}), ...(policy ? { policy } : {}) };
  } catch (error) {
    throw new BulkheadError('usage', error instanceof Error ? error.message : String(error));
  }
}

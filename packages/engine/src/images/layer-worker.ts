/** The thread that builds layers, so that hashing and parsing never hold up the engine's own. */
import { parentPort } from 'node:worker_threads';
import { BulkheadError } from '@bulkhead/contract';
import { buildLayer, type LayerJob } from './layer-builder.ts';
import type { LayerAnswer } from './layer-workers.ts';

parentPort?.on('message', async (job: LayerJob) => {
  let answer: LayerAnswer;
  try {
    await buildLayer(job);
    answer = { done: true };
  } catch (error) {
    answer =
      error instanceof BulkheadError
        ? { done: false, code: error.code, message: error.message, hint: error.hint }
        : { done: false, code: 'internal', message: String((error as Error).stack ?? error), hint: '' };
  }
  parentPort?.postMessage(answer);
});

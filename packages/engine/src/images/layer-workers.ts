/** A few threads that build layers; they end by themselves when there is nothing to do. */
import { Worker } from 'node:worker_threads';
import { BulkheadError, type ErrorCode } from '@bulkhead/contract';
import type { LayerJob } from './layer-builder.ts';

export type LayerAnswer = { done: true } | { done: false; code: ErrorCode; message: string; hint: string };

const IDLE_MS = 3000;
const HEAP_MAX_MB = 1024;

interface Waiting {
  job: LayerJob;
  resolve: () => void;
  reject: (error: unknown) => void;
}

export class LayerWorkers {
  readonly #most: number;
  readonly #queue: Waiting[] = [];
  readonly #idle: { worker: Worker; timer: NodeJS.Timeout }[] = [];
  #count = 0;

  constructor(most: number) {
    this.#most = most;
  }

  build(job: LayerJob): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ job, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    if (this.#queue.length === 0) return;
    const idle = this.#idle.pop();
    if (idle === undefined && this.#count >= this.#most) return;
    if (idle !== undefined) clearTimeout(idle.timer);
    const waiting = this.#queue.shift()!;
    void this.#run(idle?.worker ?? this.#start(), waiting);
  }

  #start(): Worker {
    this.#count++;
    const worker = new Worker(new URL('./layer-worker.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MAX_MB },
    });
    worker.once('exit', () => {
      this.#count--;
      this.#next();
    });
    return worker;
  }

  async #run(worker: Worker, waiting: Waiting): Promise<void> {
    worker.ref();
    try {
      const answer = await this.#ask(worker, waiting.job);
      if (answer.done) waiting.resolve();
      else
        waiting.reject(new BulkheadError(answer.code, answer.message, answer.hint === '' ? {} : { hint: answer.hint }));
      this.#rest(worker);
    } catch (error) {
      waiting.reject(error);
      void worker.terminate();
    }
    this.#next();
  }

  #ask(worker: Worker, job: LayerJob): Promise<LayerAnswer> {
    return new Promise((resolve, reject) => {
      const forget = (): void => {
        worker.off('message', answered);
        worker.off('error', failed);
      };
      const answered = (answer: LayerAnswer): void => {
        forget();
        resolve(answer);
      };
      const failed = (error: Error & { code?: string }): void => {
        forget();
        const tooMuch = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
        reject(tooMuch ? new BulkheadError('archive_rejected', 'a layer needs too much memory to unpack') : error);
      };
      worker.on('message', answered);
      worker.on('error', failed);
      worker.postMessage(job);
    });
  }

  #rest(worker: Worker): void {
    worker.unref();
    const timer = setTimeout(() => {
      const index = this.#idle.findIndex((idle) => idle.worker === worker);
      if (index >= 0) this.#idle.splice(index, 1);
      void worker.terminate();
    }, IDLE_MS);
    timer.unref();
    this.#idle.push({ worker, timer });
  }
}

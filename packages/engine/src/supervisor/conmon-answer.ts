/** conmon's own words on its sync pipe: `{"pid": n}` or `{"pid": -1, "message": "..."}`; silence is a failure too. */
import type { ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import { BulkheadError } from '@bulkhead/contract';
import { startFailure } from './start-failure.ts';

const TROUBLE_MAX_CHARS = 8_192;

/** Resolves with the pid of the task; the caller limits the time. */
export function answerOf(child: ChildProcess): Promise<number> {
  const pipe = child.stdio[3] as Readable;
  let sync = '';
  let trouble = '';
  return new Promise<number>((resolve, reject) => {
    const fail = (message: string): void => reject(startFailure(message));
    child.on('error', (cause) =>
      reject(new BulkheadError('tool_missing', 'conmon cannot be run: it is not installed', { cause })),
    );
    child.stderr?.on('data', (chunk: Buffer) => {
      if (trouble.length < TROUBLE_MAX_CHARS) trouble += chunk.toString();
    });
    pipe.on('data', (chunk: Buffer) => {
      sync += chunk.toString();
      const line = sync.split('\n').find((text) => text.includes('}'));
      if (line === undefined) return;
      const said = JSON.parse(line) as { pid?: number; data?: number; message?: string };
      const pid = said.pid ?? said.data ?? -1;
      if (pid > 0) resolve(pid);
      else fail(said.message ?? trouble);
    });
    pipe.on('error', reject);
    pipe.on('end', () => fail(trouble === '' ? 'conmon ended without an answer' : trouble));
  }).finally(() => {
    // The daemon keeps its ends for as long as the task runs; the engine must not.
    pipe.destroy();
    child.stderr?.destroy();
  });
}

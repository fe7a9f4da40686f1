/** Reads a log in the k8s-file format by polling: slow and simple, for tests without conmon. */
import { readFileSync, renameSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LogQuery, LogReader, LogRecord } from '@bulkhead/engine';

export class FakeLogs implements LogReader {
  async *read(logPath: string, query: LogQuery): AsyncGenerator<LogRecord[]> {
    let ended = !query.follow;
    void query.ended?.then(() => {
      ended = true;
    });
    let seen = query.tail === 0 ? records(logPath).length : 0;
    for (;;) {
      const last = ended;
      const all = records(logPath);
      const batch = all.slice(seen).filter((record) => record.at >= (query.sinceMs ?? 0));
      seen = all.length;
      if (batch.length > 0) yield query.tail && !query.follow ? batch.slice(-query.tail) : batch;
      if (last || query.signal?.aborted) return;
      await sleep(5);
    }
  }

  async rotate(_id: string, logPath: string, maxSizeBytes: number): Promise<void> {
    if ((statSync(logPath, { throwIfNoEntry: false })?.size ?? 0) > maxSizeBytes) renameSync(logPath, `${logPath}.1`);
  }
}

function records(logPath: string): LogRecord[] {
  let text = '';
  try {
    text = readFileSync(logPath, 'utf8');
  } catch {
    return [];
  }
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const [timestamp = '', stream = 'stdout', kind, ...rest] = line.split(' ');
      const data = Buffer.from(rest.join(' ') + (kind === 'F' ? '\n' : ''));
      return { stream: stream as 'stdout' | 'stderr', at: Date.parse(`${timestamp.slice(0, 23)}Z`), timestamp, data };
    });
}

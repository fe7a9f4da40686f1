/** What every LogReader promises about a log in the k8s-file format. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { LogQuery, LogReader } from '@bulkhead/engine/ports/supervisor';

const START_MS = Date.UTC(2026, 0, 1);

export function logConformance(name: string, make: () => LogReader): void {
  const behaviour = (title: string, body: (reader: LogReader, log: string) => Promise<void>) =>
    test(`${name}: ${title}`, async (t) => {
      const folder = mkdtempSync(join(tmpdir(), 'bulkhead-log-'));
      t.after(() => rmSync(folder, { recursive: true, force: true }));
      await body(make(), join(folder, 'log'));
    });
  /** One record a second. */
  const write = (log: string, from: number, count: number): void => {
    for (let index = from; index < from + count; index++) {
      const at = new Date(START_MS + index * 1000).toISOString().replace('Z', '000000+00:00');
      appendFileSync(log, `${at} ${index % 2 === 0 ? 'stdout' : 'stderr'} F line ${index}\n`);
    }
  };
  const read = async (reader: LogReader, log: string, query: LogQuery): Promise<string[]> => {
    const lines: string[] = [];
    for await (const records of reader.read(log, query))
      for (const { stream, data } of records) lines.push(`${stream} ${data.toString('utf8')}`);
    return lines;
  };

  behaviour('records come in order, with stream and newline; none where there is no log', async (reader, log) => {
    assert.deepEqual(await read(reader, log, { follow: false }), []);
    write(log, 0, 3);
    assert.deepEqual(await read(reader, log, { follow: false }), [
      'stdout line 0\n',
      'stderr line 1\n',
      'stdout line 2\n',
    ]);
  });

  behaviour('the last lines, or those since a time', async (reader, log) => {
    write(log, 0, 10);
    assert.deepEqual(await read(reader, log, { follow: false, tail: 2 }), ['stdout line 8\n', 'stderr line 9\n']);
    assert.deepEqual(await read(reader, log, { follow: false, tail: 0 }), []);
    assert.deepEqual(await read(reader, log, { follow: false, sinceMs: START_MS + 9000 }), ['stderr line 9\n']);
  });

  behaviour('who follows sees what is written later, and ends with the task', async (reader, log) => {
    write(log, 0, 1);
    const task = Promise.withResolvers<void>();
    const lines = read(reader, log, { follow: true, ended: task.promise });
    await new Promise((resolve) => setTimeout(resolve, 30));
    write(log, 1, 2);
    task.resolve();
    assert.deepEqual(await lines, ['stdout line 0\n', 'stderr line 1\n', 'stdout line 2\n']);
  });
}

/** One line of conmon's k8s-file format: `TIMESTAMP stdout|stderr P|F bytes\n`, where P means that no newline followed. Binary safe. */
import type { LogRecord } from '../ports/supervisor.ts';

const NEWLINE = 0x0a;
const SPACE = 0x20;
const FULL = 0x46;

/** Feeds on chunks of any size, gives whole records. */
export class LogDecoder {
  #pending: Buffer = Buffer.alloc(0);

  feed(chunk: Buffer): LogRecord[] {
    const data = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const records: LogRecord[] = [];
    let start = 0;
    for (let end = data.indexOf(NEWLINE, start); end !== -1; end = data.indexOf(NEWLINE, start)) {
      const record = decode(data.subarray(start, end + 1));
      if (record !== undefined) records.push(record);
      start = end + 1;
    }
    // A copy: the chunk may be a large reused buffer.
    this.#pending = Buffer.from(data.subarray(start));
    return records;
  }
}

function decode(line: Buffer): LogRecord | undefined {
  const first = line.indexOf(SPACE);
  const second = line.indexOf(SPACE, first + 1);
  const third = line.indexOf(SPACE, second + 1);
  if (first < 0 || second < 0 || third < 0) return undefined;
  const timestamp = line.toString('latin1', 0, first);
  const at = Date.parse(timestamp.replace(/(\.\d{3})\d+/, '$1'));
  if (Number.isNaN(at)) return undefined;
  const stream = line.toString('latin1', first + 1, second) === 'stderr' ? 'stderr' : 'stdout';
  const full = line[second + 1] === FULL;
  return { stream, at, timestamp, data: line.subarray(third + 1, full ? line.length : line.length - 1) };
}

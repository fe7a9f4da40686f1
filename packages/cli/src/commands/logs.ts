/** `logs`: what a task wrote, byte for byte, stdout and stderr kept apart. */
import type { Command } from '../command.ts';
import { write } from '../local-files.ts';
import { parseInteger, parseTime } from '../quantities.ts';

export const command: Command = {
  usage: '[FLAGS] INSTANCE',
  summary: "Show an instance's output",
  flags: [
    { name: 'follow', short: 'f', kind: 'switch', meaning: 'Go on as it writes, until it ends' },
    { name: 'since', kind: 'text', value: 'TIME', meaning: 'From then on: 10m, 2024-05-01T10:00:00Z, Unix seconds' },
    { name: 'until', kind: 'text', value: 'TIME', meaning: 'Up to then' },
    { name: 'tail', short: 'n', kind: 'text', value: 'N', meaning: 'The last N lines (default all)' },
    { name: 'timestamps', short: 't', kind: 'switch', meaning: 'Begin each line with its time' },
  ],
  examples: ['bulkhead logs -f --tail 20 web', 'bulkhead logs --since 10m -t web'],
  subject: 'instance',
  arguments: [1, 1],
  async run({ flags, args, client }) {
    const [since, until, tail] = [flags.text('since'), flags.text('until'), flags.text('tail')];
    const now = Date.now();
    const records = (await client()).logs(args[0]!, {
      follow: flags.on('follow'),
      ...(since === undefined ? {} : { since: parseTime(since, '--since', now) }),
      ...(until === undefined ? {} : { until: parseTime(until, '--until', now) }),
      ...(tail === undefined || tail === 'all' || tail === '-1' ? {} : { tail: parseInteger(tail, '--tail') }),
    });
    // A record may be a part of a line: only the first of a line gets the time.
    const midLine = { stdout: false, stderr: false };
    for await (const { stream, timestamp, data } of records) {
      const bytes = Buffer.from(data, 'base64');
      const prefix = flags.on('timestamps') && !midLine[stream] ? Buffer.from(`${timestamp} `) : undefined;
      midLine[stream] = bytes.at(-1) !== 10;
      await write(process[stream], prefix ? Buffer.concat([prefix, bytes]) : bytes);
    }
  },
};

/** Commands an exec in a mock instance knows: true, false, echo, cat, hang, exit N, env, exists FILE. */
import { existsSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { BulkheadError } from '@bulkhead/contract';
import type { ProcessSpec, Session } from '../../ports/driver.ts';

export function mockSession({ args, env }: ProcessSpec): Session {
  const stdin = new PassThrough();
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const exit = Promise.withResolvers<number>();
  const finish = (code: number) => {
    stdout.end();
    stderr.end();
    exit.resolve(code);
  };
  const commands: Record<string, () => void> = {
    true: () => finish(0),
    false: () => finish(1),
    echo: () => {
      stdout.write(`${args.slice(1).join(' ')}\n`);
      finish(0);
    },
    env: () => {
      stdout.write(`${env.join('\n')}\n`);
      finish(0);
    },
    cat: () => {
      stdin.on('data', (chunk) => stdout.write(chunk));
      stdin.on('end', () => finish(0));
    },
    hang: () => undefined,
    exit: () => finish(Number(args[1])),
    exists: () => finish(existsSync(args[1] ?? '') ? 0 : 1),
  };
  const command = commands[args[0] ?? ''];
  if (!command) throw new BulkheadError('command_not_found', `${args[0]} is not in the image`);
  queueMicrotask(command);
  return { stdin, stdout, stderr, resize: () => undefined, close: () => finish(137), exit: exit.promise };
}

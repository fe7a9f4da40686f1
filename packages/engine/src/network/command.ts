/** Runs one program with an argument array and text for its input; it never builds a shell line and never waits for ever. */
import { spawn } from 'node:child_process';
import { BulkheadError } from '@bulkhead/contract';

export interface CommandResult {
  code: number;
  stdout: string;
  stderr: string;
}

const TIME_LIMIT_MS = 60_000;

/** Resolves whatever the exit code is; rejects with `tool_missing` where the program is not installed. */
export function runCommand(program: string, args: string[], input = ''): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: TIME_LIMIT_MS,
      killSignal: 'SIGKILL',
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.stdin.on('error', () => {}); // The program may end before it has read everything: its exit code tells.
    child.on('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'ENOENT') return reject(cause);
      reject(new BulkheadError('tool_missing', `${program} is not installed`, { cause }));
    });
    child.on('close', (code, signal) =>
      resolve({
        code: code ?? 128,
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString() || (signal ? `ended by ${signal}` : ''),
      }),
    );
    child.stdin.end(input);
  });
}

/** As {@link runCommand}, and a failure is an error that holds the program's own words. */
export async function mustRun(program: string, args: string[], input = ''): Promise<string> {
  const { code, stdout, stderr } = await runCommand(program, args, input);
  if (code === 0) return stdout;
  const words = (stderr || stdout).trim().split('\n').slice(0, 4).join('; ');
  throw new BulkheadError('start_failed', `${program} failed (exit ${code}): ${words}`);
}

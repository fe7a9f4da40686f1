/** Runs a program to its end and gives what it said. Arguments are arrays, never shell lines. */
import { execFile } from 'node:child_process';

export interface Done {
  code: number;
  stdout: string;
  stderr: string;
}

export function runCommand(command: string, args: string[], timeoutMs = 15_000): Promise<Done> {
  return new Promise((resolve) => {
    execFile(
      command,
      args,
      { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 4 << 20 },
      (error, stdout, stderr) => {
        const failed = error as (Error & { code?: number | string }) | null;
        resolve({
          code: failed === null ? 0 : typeof failed.code === 'number' ? failed.code : 127,
          stdout,
          stderr: stderr === '' && failed !== null ? failed.message : stderr,
        });
      },
    );
  });
}

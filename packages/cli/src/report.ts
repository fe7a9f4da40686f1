/** How the CLI tells an error: what happened, the way out, and the exit code. */
import { BulkheadError, ERRORS } from '@bulkhead/contract/errors';
import { escapeControl } from './terminal.ts';

/** Prints what happened and the way out; returns the exit code. */
export function report(error: unknown, env: NodeJS.ProcessEnv, command = ''): number {
  if (error instanceof BulkheadError) {
    const at = error.at ? `${error.at}: ` : '';
    process.stderr.write(`bulkhead: ${escapeControl(at + error.message, '\n')}\n`);
    if (error.hint) process.stderr.write(`hint: ${escapeControl(error.hint, '\n')}\n`);
    if (env.BULKHEAD_DEBUG) process.stderr.write(`${error.code}: ${error.stack}\n`);
    const { exit } = ERRORS[error.code];
    // What `run` could not begin is never mistaken for the exit code of a task, as in Docker.
    const ours = error.code !== 'not_a_terminal' && (command === 'run' || command === 'create');
    return exit < 125 && ours ? 125 : exit;
  }
  process.stderr.write(`bulkhead: a defect of the CLI: ${error instanceof Error ? error.stack : String(error)}\n`);
  process.stderr.write(`hint: ${ERRORS.internal.fix}\n`);
  return ERRORS.internal.exit;
}

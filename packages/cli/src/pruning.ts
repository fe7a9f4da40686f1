/** What all prune commands share: the question before, and what was freed after. */
import type { Pruned } from '@bulkhead/contract/types';
import type { Flag } from './command.ts';
import type { Values } from './flags.ts';
import { humanSize } from './quantities.ts';
import { escapeControl } from './terminal.ts';

export const PRUNE_FORCE: Flag = { name: 'force', short: 'f', kind: 'switch', meaning: 'Do not ask' };

/** Without a terminal and without --force the answer is what stdin says, and silence is no. */
export async function confirm(flags: Values, warning: string): Promise<boolean> {
  if (flags.on('force')) return true;
  const { createInterface } = await import('node:readline/promises');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const silent = new Promise<string>((resolve) => lines.once('close', () => resolve('')));
  const answer = await Promise.race([lines.question(`${warning}\nGo on? [y/N] `), silent]);
  lines.close();
  return /^y(es)?$/i.test(answer.trim());
}

/** Gives the bytes freed; `total` also prints them. */
export function tellPruned(kind: string, pruned: Pruned, total = false): number {
  const lines: string[] = [];
  if (pruned.removed.length > 0 && kind !== '') lines.push(`Deleted ${kind}:`);
  for (const name of pruned.removed) lines.push(escapeControl(name));
  if (total) lines.push(`Total reclaimed space: ${humanSize(pruned.freedBytes)}`);
  if (lines.length > 0) process.stdout.write(`${lines.join('\n')}\n`);
  return pruned.freedBytes;
}

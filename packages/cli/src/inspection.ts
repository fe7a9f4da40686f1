/** Prints what inspect commands found: a JSON array, also where some names were not found. */
import type { Values } from './flags.ts';
import { report } from './report.ts';

export async function inspectAll(
  flags: Values,
  names: readonly string[],
  find: (name: string) => Promise<unknown>,
): Promise<number> {
  const found: unknown[] = [];
  let exit = 0;
  for (const name of names) {
    try {
      found.push(await find(name));
    } catch (error) {
      exit = report(error, process.env);
    }
  }
  const text =
    flags.text('format') === 'json'
      ? found.map((one) => `${JSON.stringify(one)}\n`).join('')
      : `${JSON.stringify(found, null, 4)}\n`;
  process.stdout.write(text);
  return exit;
}

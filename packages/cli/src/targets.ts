/** A command on several things: each is done, each failure is told, the last failure gives the exit code. */
import { report } from './report.ts';

export async function forEach(
  names: readonly string[],
  act: (name: string) => Promise<string | undefined>,
): Promise<number> {
  let exit = 0;
  for (const name of names) {
    try {
      const said = await act(name);
      if (said !== undefined) process.stdout.write(`${said}\n`);
    } catch (error) {
      exit = report(error, process.env);
    }
  }
  return exit;
}

/** A started exec: its streams as frames, its exit code at the end. */
import { constants } from 'node:os';
import { FRAME } from '@bulkhead/contract';
import type { Session } from '../ports/driver.ts';
import type { FrameSocket } from './frame-socket.ts';
import { input } from './input.ts';

const CONTROL_KEYS: Record<string, string> = { INT: '\u0003', QUIT: '\u001c', TSTP: '\u001a' };
const ENDING = new Set(['TERM', 'KILL', 'HUP', 'INT', 'QUIT']);

export async function streamExec(
  session: Session,
  wantsStdin: boolean,
  frames: FrameSocket,
  head: Buffer,
): Promise<void> {
  const bySignal = (text: string) => {
    const name = text.toUpperCase().replace(/^SIG/, '');
    const key = CONTROL_KEYS[name];
    if (!(`SIG${name}` in constants.signals)) return;
    // No runtime signals an exec: a terminal turns keys into signals, without one its end is all we can bring about.
    if (key && wantsStdin) session.stdin.write(key);
    else if (ENDING.has(name)) session.close();
  };
  session.stdin.on('error', () => undefined);
  if (!wantsStdin) session.stdin.end();
  frames.receive(
    head,
    input({
      stdin: async () => (wantsStdin ? session.stdin : undefined),
      resize: (columns, rows) => session.resize(columns, rows),
      signal: bySignal,
    }),
  );
  const ended = (async () => {
    await Promise.all([frames.sendAll(FRAME.stdout, session.stdout), frames.sendAll(FRAME.stderr, session.stderr)]);
    frames.exit(await session.exit.catch(() => 137));
  })();
  await Promise.race([ended, frames.closed.then(() => session.close())]);
}

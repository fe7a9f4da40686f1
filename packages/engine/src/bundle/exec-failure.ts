/** A runtime that could not exec says so in words; scripts expect a shell's codes: 127 not found, 126 not executable. */
import { PassThrough } from 'node:stream';
import type { Session } from '../ports/driver.ts';

export const NOT_FOUND = 127;
export const NOT_EXECUTABLE = 126;
/** The codes runtimes end with when they could not exec at all. */
const RUNTIME_FAILED = new Set([1, 125, NOT_EXECUTABLE, NOT_FOUND, 128, 255]);
const KILLED = 137;
const WORDS_MAX_CHARS = 2048;

function shellCode(code: number, words: string): number {
  if (!RUNTIME_FAILED.has(code) || words === '') return code;
  if (/executable file .* not found|failed to find/i.test(words)) return NOT_FOUND;
  if (/no such file or directory/i.test(words) && /exec|starting|load/i.test(words)) return NOT_FOUND;
  return /exec.*permission denied|open executable|exec format error/i.test(words) ? NOT_EXECUTABLE : code;
}

/** For a runtime whose process is killed without a word when it cannot be loaded. */
interface SilentFailure {
  program: string;
  /** 126 or 127, or 0 where the program is in order and something else has killed it. */
  code: () => Promise<number>;
}

const REASONS: Record<number, string> = {
  [NOT_FOUND]: 'no such file or directory',
  [NOT_EXECUTABLE]: 'it is not executable',
};

export function withShellCodes(session: Session, silent?: SilentFailure): Session {
  let words = '';
  const stderr = new PassThrough();
  session.stderr.on('data', (chunk: Buffer) => {
    if (words.length < WORDS_MAX_CHARS) words += chunk.toString('latin1');
  });
  session.stderr.pipe(stderr, { end: false });
  const exit = session.exit.then(async (code) => {
    if (silent === undefined || code !== KILLED || words !== '') return shellCode(code, words);
    const found = await silent.code();
    const reason = REASONS[found];
    if (reason === undefined) return code;
    stderr.write(`${silent.program}: ${reason}\n`);
    return found;
  });
  void exit.finally(() => stderr.end()).catch(() => {});
  return { ...session, stderr, exit };
}

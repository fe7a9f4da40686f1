/** A runtime that could not exec says so in words; scripts expect a shell's codes: 127 not found, 126 not executable. */
import { PassThrough } from 'node:stream';
import type { Session } from '../ports/driver.ts';

const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;
/** The codes runtimes end with when they could not exec at all. */
const RUNTIME_FAILED = new Set([1, 125, NOT_EXECUTABLE, NOT_FOUND, 128, 255]);
const WORDS_MAX_CHARS = 2048;

function shellCode(code: number, words: string): number {
  if (!RUNTIME_FAILED.has(code) || words === '') return code;
  if (/executable file .* not found|failed to find/i.test(words)) return NOT_FOUND;
  if (/no such file or directory/i.test(words) && /exec|starting|load/i.test(words)) return NOT_FOUND;
  return /exec.*permission denied|open executable|exec format error/i.test(words) ? NOT_EXECUTABLE : code;
}

export function withShellCodes(session: Session): Session {
  let words = '';
  const stderr = new PassThrough();
  session.stderr.on('data', (chunk: Buffer) => {
    if (words.length < WORDS_MAX_CHARS) words += chunk.toString('latin1');
  });
  session.stderr.pipe(stderr);
  return { ...session, stderr, exit: session.exit.then((code) => shellCode(code, words)) };
}

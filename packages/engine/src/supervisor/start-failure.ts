/** Turns a runtime's own words into one of our codes. */
import { BulkheadError } from '@bulkhead/contract';

/** Messages of crun, runc and runsc, most telling first. */
const PATTERNS: [RegExp, 'command_not_found' | 'command_not_executable' | 'invalid_user' | 'disk_full'][] = [
  [
    /executable file [`'"]?([^`'"]*)[`'"]? not found|no such file or directory.*exec|exec.*no such file or directory|executable file not found|failed to (find|load) .*no such file|failed to find|stat .*: no such file/i,
    'command_not_found',
  ],
  [
    /permission denied|exec format error|is a directory|not executable|(open executable|failed to load).*(not permitted|not a directory)/i,
    'command_not_executable',
  ],
  [/no space left on device/i, 'disk_full'],
  [/unable to find user|invalid user/i, 'invalid_user'],
];

export function startFailure(words: string): BulkheadError {
  const text = words
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .slice(-4)
    .join('; ')
    .slice(0, 1000);
  const code = PATTERNS.find(([pattern]) => pattern.test(text))?.[1] ?? 'start_failed';
  return new BulkheadError(code, `the task could not be started: ${text === '' ? 'the runtime said nothing' : text}`);
}

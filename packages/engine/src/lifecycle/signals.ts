/** Signal names and numbers of Linux, whatever the host's own table says. */
import { constants } from 'node:os';
import { BulkheadError } from '@bulkhead/contract';

const NUMBERS: Record<string, number> = { ...constants.signals };

/** `TERM`, `SIGTERM` or `15` to 15; throws `invalid_request`. */
export function signalNumber(text: string): number {
  const upper = text.toUpperCase();
  const number = /^\d+$/.test(upper) ? Number(upper) : NUMBERS[upper.startsWith('SIG') ? upper : `SIG${upper}`];
  const realtime = /^(?:SIG)?RTMIN(?:\+(\d+))?$/.exec(upper);
  const resolved = number ?? (realtime ? 34 + Number(realtime[1] ?? 0) : undefined);
  if (resolved === undefined || resolved < 1 || resolved > 64) {
    throw new BulkheadError('invalid_request', `there is no signal ${JSON.stringify(text)}`, {
      hint: 'Give a name like TERM or a number from 1 to 64.',
    });
  }
  return resolved;
}

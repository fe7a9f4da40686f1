/** Finds the key sequence that leaves a terminal session, and holds back what may be its beginning. */
import { BulkheadError } from '@bulkhead/contract/errors';

export const DEFAULT_DETACH_KEYS = 'ctrl-p,ctrl-q';

/** `ctrl-p,ctrl-q`, `a,b`, `ctrl-@` to bytes; empty switches detaching off. */
export function parseDetachKeys(text: string): Buffer {
  const bytes = (text === '' ? [] : text.split(',')).map((key) => {
    const control = /^ctrl-([a-zA-Z@[\\\]^_])$/.exec(key);
    if (control) return control[1]!.toUpperCase().charCodeAt(0) - 64;
    if (/^[\x20-\x7e]$/.test(key)) return key.charCodeAt(0);
    throw new BulkheadError('usage', `invalid detach keys "${text}"`, {
      hint: 'Write single characters or ctrl-<letter>, with commas between: ctrl-p,ctrl-q.',
    });
  });
  return Buffer.from(bytes);
}

export class DetachKeys {
  readonly #keys: Buffer;
  #matched = 0;

  constructor(keys: Buffer) {
    this.#keys = keys;
  }

  /** What to pass on of `chunk`, and whether the whole sequence was typed. */
  feed(chunk: Buffer): { pass: Buffer; detached: boolean } {
    if (this.#keys.length === 0) return { pass: chunk, detached: false };
    const pass: number[] = [];
    for (const byte of chunk) {
      if (byte === this.#keys[this.#matched]) {
        this.#matched++;
        if (this.#matched === this.#keys.length) return { pass: Buffer.from(pass), detached: true };
        continue;
      }
      pass.push(...this.#keys.subarray(0, this.#matched));
      this.#matched = 0;
      if (byte === this.#keys[0]) this.#matched = 1;
      else pass.push(byte);
    }
    return { pass: Buffer.from(pass), detached: false };
  }
}

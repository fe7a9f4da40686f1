/** What a thing may be called, and names for those that came without. */
import { BulkheadError } from '@bulkhead/contract';

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;

export function checkName(name: string, what: string): string {
  if (!NAME.test(name)) throw new BulkheadError('invalid_name', `${JSON.stringify(name)} cannot be ${what}`);
  return name;
}

const ADJECTIVES =
  'able amber ample azure bold brave bright brisk calm civil clear crisp deft eager early fair fast firm fleet fond free fresh glad golden grand green hardy keen kind level lively loyal lucid mellow merry mild neat noble open plain polite prime proud quick quiet rapid ready sharp smart solid sound stable steady stout sunny swift tidy true vivid warm wise'.split(
    ' ',
  );
const NOUNS =
  'anchor barge beacon bell boat bosun bow bridge brig buoy cabin canal captain cargo chart clipper coast compass crew current cutter deck dinghy dock dory ferry fjord galley gull harbor helm hull island jetty kayak keel ketch lagoon lantern ledge lighthouse locker mast mooring oar pier pilot port prow quay raft reef rigging rudder sail schooner sextant shoal skiff sloop sound spar stern tide tiller tug wake wharf yacht'.split(
    ' ',
  );

/** `adjective_noun` from the digits of an id; a number follows where that is taken. */
export function generateName(id: string, taken: (name: string) => boolean): string {
  const adjective = ADJECTIVES[Number.parseInt(id.slice(0, 6), 16) % ADJECTIVES.length];
  const noun = NOUNS[Number.parseInt(id.slice(6, 12), 16) % NOUNS.length];
  const base = `${adjective}_${noun}`;
  for (let number = 0; ; number++) {
    const name = number === 0 ? base : `${base}${number}`;
    if (!taken(name)) return name;
  }
}

/** Puts the services and resources of an included project beside those that are here: one name, one meaning. */
import { merge } from './merge.ts';
import { entriesOf, get, type MapTree, map, type Place, placeText, plain, refuse } from './tree.ts';

const SECTIONS = ['services', 'networks', 'volumes', 'secrets', 'configs'] as const;

/** `including` is the file that asks for it. */
export function joinIncluded(
  project: MapTree,
  { included, including }: { included: MapTree; including: MapTree },
  at: Place,
): MapTree {
  let result = project;
  for (const section of SECTIONS) {
    for (const [name, { value }] of entriesOf(get(included, section))) {
      for (const mine of [get(result, section), get(including, section)]) {
        const known = get(mine, name);
        if (!known || JSON.stringify(plain(known)) === JSON.stringify(plain(value))) continue;
        const message = `${section}.${name} is included here and defined at ${placeText(known.at)}`;
        refuse(at, message, 'Give one of them another name.');
      }
    }
    const other = get(included, section);
    if (other) result = merge(result, map(other.at, [[section, other]])) as MapTree;
  }
  return result;
}

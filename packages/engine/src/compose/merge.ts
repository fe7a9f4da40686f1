/** Lays one canonical tree over another by the Compose Specification's rules; `!reset` takes away, `!override` replaces. Pure. */
import {
  type Entry,
  get,
  isNull,
  type ListTree,
  type MapTree,
  placeText,
  plain,
  refuse,
  type Tree,
  textOf,
} from './tree.ts';

/** Lists that are one value: the later replaces the earlier. */
const REPLACED = /^services\/[^/]+\/(command|entrypoint|healthcheck\/test|x-bulkhead\/release\/canary\/steps)$/;
/** Lists of mappings with a key: two items with one key are one item. */
const KEYED: [RegExp, (item: Tree) => string][] = [
  [
    /^services\/[^/]+\/ports$/,
    (item) => ['host_ip', 'target', 'published', 'protocol'].map((key) => textOf(get(item, key)) ?? '').join('|'),
  ],
  [/^services\/[^/]+\/volumes$/, (item) => (textOf(get(item, 'target')) ?? '').replace(/(.)\/+$/, '$1')],
  [/^services\/[^/]+\/(secrets|configs)$/, (item) => textOf(get(item, 'target')) ?? textOf(get(item, 'source')) ?? ''],
  [/^services\/[^/]+\/env_file$/, (item) => textOf(get(item, 'path')) ?? ''],
  [/^services\/[^/]+\/devices$/, (item) => textOf(get(item, 'target')) ?? ''],
  [
    /^services\/[^/]+\/x-bulkhead\/ingress$/,
    (item) => ['host', 'path', 'port'].map((key) => textOf(get(item, key)) ?? '').join('|'),
  ],
];
const LOGGING = /^services\/[^/]+\/logging$/;

export function merge(base: Tree | undefined, over: Tree, path = ''): Tree | undefined {
  if (over.mark === 'reset') return undefined;
  if (base === undefined || isNull(base) || over.mark === 'override') return clean(over, path);
  // A key that is only named changes nothing below it.
  if (isNull(over)) return base.kind === 'scalar' ? over : base;
  if (base.kind !== over.kind) {
    const kinds = { map: 'a mapping', list: 'a list', scalar: 'a single value' };
    refuse(
      over.at,
      `${path.replaceAll('/', '.')} is ${kinds[over.kind]} here and ${kinds[base.kind]} at ${placeText(base.at)}`,
      'Write both in the same way, or mark this one with !override.',
    );
  }
  if (over.kind === 'map' && base.kind === 'map') {
    if (LOGGING.test(path) && get(over, 'driver') && textOf(get(over, 'driver')) !== textOf(get(base, 'driver')))
      return clean(over, path);
    return mergeMaps(base, over, path);
  }
  if (over.kind === 'list' && base.kind === 'list')
    return REPLACED.test(path) ? clean(over, path) : unique({ ...base, items: [...base.items, ...over.items] }, path);
  return over;
}

function mergeMaps(base: MapTree, over: MapTree, path: string): MapTree {
  const entries = new Map(base.entries);
  for (const [key, entry] of over.entries) {
    const before = entries.get(key);
    const value = merge(before?.value, entry.value, path === '' ? key : `${path}/${key}`);
    if (value === undefined) entries.delete(key);
    // A merged service stays where it was first written; a replaced value is where it was replaced.
    else entries.set(key, { keyAt: before && value.kind === 'map' ? before.keyAt : entry.keyAt, value });
  }
  return { ...base, entries };
}

/** Without marks, and with each list's items unique. */
function clean(tree: Tree, path: string): Tree {
  const { mark: _mark, ...rest } = tree;
  if (rest.kind === 'map') {
    const entries = new Map<string, Entry>();
    for (const [key, entry] of rest.entries) {
      if (entry.value.mark === 'reset') continue;
      entries.set(key, { ...entry, value: clean(entry.value, path === '' ? key : `${path}/${key}`) });
    }
    return { ...rest, entries };
  }
  return rest.kind === 'list' ? unique(rest, path) : rest;
}

function unique(tree: ListTree, path: string): ListTree {
  if (REPLACED.test(path) || /\/(command|pre_start|post_start|pre_stop)$/.test(path)) return tree;
  const keyOf = KEYED.find(([pattern]) => pattern.test(path))?.[1] ?? ((item: Tree) => JSON.stringify(plain(item)));
  const seen = new Map<string, Tree>();
  for (const item of tree.items) {
    const key = keyOf(item);
    const before = seen.get(key);
    seen.set(
      key,
      before?.kind === 'map' && item.kind === 'map' && path.endsWith('/volumes') ? laidOver(before, item) : item,
    );
  }
  return { ...tree, items: [...seen.values()] };
}

/** A volume at the same target: another kind of source replaces the item as a whole. */
function laidOver(before: MapTree, item: MapTree): MapTree {
  if (textOf(get(before, 'type')) !== textOf(get(item, 'type'))) return item;
  return { ...item, entries: new Map([...before.entries, ...item.entries]) };
}

/** One file's tree with every short syntax made long and every path absolute, so that files can be merged key by key. */
import { shellWords } from './quantities.ts';
import { absolutePath, hostItems, type Paths, pairs, portItems, volumeItem } from './short-forms.ts';
import { type Entry, entriesOf, get, isNull, list, type MapTree, map, scalar, type Tree, textOf } from './tree.ts';

type Change = (tree: Tree, paths: Paths) => Tree;

const asList: Change = (tree) => (tree.kind === 'scalar' ? list(tree.at, [tree]) : tree);
const words: Change = (tree) =>
  tree.kind === 'scalar'
    ? {
        ...list(
          tree.at,
          shellWords(tree).map((word) => scalar(tree.at, word)),
        ),
        ...kept(tree),
      }
    : tree;
const asPairs: Change = (tree) => pairs(tree);
const texts: Change = (tree) =>
  tree.kind === 'list' ? { ...tree, items: tree.items.map((item) => scalar(item.at, textOf(item) ?? '')) } : tree;
const toPath: Change = (tree, paths) =>
  tree.kind === 'scalar'
    ? scalar(
        tree.at,
        /^([a-z]+:\/\/|git@)/.test(String(tree.value)) ? tree.value : absolutePath(String(tree.value), paths),
      )
    : tree;

function kept(tree: Tree): { mark?: NonNullable<Tree['mark']> } {
  return tree.mark ? { mark: tree.mark } : {};
}

function eachItem(change: Change): Change {
  return (tree, paths) =>
    tree.kind === 'list' ? { ...tree, items: tree.items.map((item) => change(item, paths)) } : tree;
}

function eachKey(changes: Record<string, Change>): Change {
  return (tree, paths) => {
    if (tree.kind !== 'map') return tree;
    const entries = new Map<string, Entry>();
    for (const [key, entry] of tree.entries) {
      const change = Object.hasOwn(changes, key) ? changes[key] : undefined;
      const apply = change && !isNull(entry.value) && entry.value.mark !== 'reset';
      entries.set(key, apply ? { ...entry, value: change(entry.value, paths) } : entry);
    }
    return { ...tree, entries };
  };
}

function eachValue(change: Change): Change {
  return (tree, paths) => {
    if (tree.kind !== 'map') return tree;
    const entries = [...tree.entries].map(
      ([key, entry]) => [key, { ...entry, value: change(entry.value, paths) }] as const,
    );
    return { ...tree, entries: new Map(entries) };
  };
}

const dependencies: Change = (tree) => {
  const entries: [string, Tree][] =
    tree.kind === 'list'
      ? tree.items.map((item) => [textOf(item) ?? '', map(item.at)])
      : entriesOf(tree).map(([name, { keyAt, value }]) => [name, isNull(value) ? map(keyAt) : value]);
  const defaults = entries.map(([name, value]) => {
    const condition = get(value, 'condition') ?? scalar(value.at, 'service_started');
    const required = get(value, 'required') ?? scalar(value.at, true);
    const rest = entriesOf(value).filter(([key]) => key !== 'condition' && key !== 'required');
    return [
      name,
      map(value.at, [
        ['condition', condition],
        ...rest.map(([key, entry]) => [key, entry.value] as const),
        ['required', required],
      ]),
    ] as const;
  });
  return { ...map(tree.at, defaults), ...kept(tree) };
};

const ports: Change = (tree) =>
  tree.kind === 'list'
    ? { ...tree, items: tree.items.flatMap((item) => (item.kind === 'scalar' ? portItems(item) : [longPort(item)])) }
    : tree;

function longPort(tree: Tree): Tree {
  if (tree.kind !== 'map') return tree;
  const result: MapTree = { ...tree, entries: new Map(tree.entries) };
  const published = get(tree, 'published');
  if (published)
    result.entries.set('published', { keyAt: published.at, value: scalar(published.at, textOf(published) ?? '') });
  if (!get(tree, 'mode')) result.entries.set('mode', { keyAt: tree.at, value: scalar(tree.at, 'ingress') });
  if (!get(tree, 'protocol')) result.entries.set('protocol', { keyAt: tree.at, value: scalar(tree.at, 'tcp') });
  return result;
}

const volumes: Change = eachItem((item, paths) => {
  if (item.kind === 'scalar') return volumeItem(item, paths);
  const type = textOf(get(item, 'type')) ?? 'volume';
  const typed = get(item, 'type')
    ? item
    : {
        ...(item as MapTree),
        entries: new Map((item as MapTree).entries).set('type', { keyAt: item.at, value: scalar(item.at, type) }),
      };
  return type === 'bind' ? eachKey({ source: toPath })(typed, paths) : typed;
});

const grants: Change = eachItem((item) => (item.kind === 'scalar' ? map(item.at, [['source', item]]) : item));
const memberships: Change = (tree) =>
  tree.kind === 'list'
    ? {
        ...map(
          tree.at,
          tree.items.map((item) => [textOf(item) ?? '', scalar(item.at, null)] as const),
        ),
        ...kept(tree),
      }
    : tree;
const environmentFiles: Change = (tree, paths) => {
  const items = tree.kind === 'list' ? tree.items : [tree];
  const long = items.map((item) =>
    item.kind === 'scalar'
      ? map(item.at, [
          ['path', item],
          ['required', scalar(item.at, true)],
        ])
      : item,
  );
  return {
    ...list(
      tree.at,
      long.map((item) => eachKey({ path: toPath })(item, paths)),
    ),
    ...kept(tree),
  };
};
const healthTest: Change = (tree) =>
  tree.kind === 'scalar' ? { ...list(tree.at, [scalar(tree.at, 'CMD-SHELL'), tree]), ...kept(tree) } : tree;
const hooks: Change = eachItem(eachKey({ command: words, environment: asPairs }));
const buildKeys = eachKey({ context: toPath, args: asPairs, labels: asPairs });
const build: Change = (tree, paths) =>
  buildKeys(tree.kind === 'scalar' ? map(tree.at, [['context', tree]]) : tree, paths);
const devices: Change = eachItem((item) => {
  if (item.kind !== 'scalar') return item;
  const [source = '', target, permissions] = (textOf(item) ?? '').split(':');
  return map(item.at, [
    ['source', scalar(item.at, source)],
    ['target', scalar(item.at, target ?? source)],
    ['permissions', scalar(item.at, permissions ?? 'rwm')],
  ]);
});
const external: Change = (tree) => {
  const entry = get(tree, 'external');
  if (tree.kind !== 'map' || entry?.kind !== 'map') return isNull(tree) ? map(tree.at) : tree;
  const entries = new Map(tree.entries).set('external', { keyAt: entry.at, value: scalar(entry.at, true) });
  const name = entry.entries.get('name');
  if (name && !entries.has('name')) entries.set('name', name);
  return { ...tree, entries };
};

const extension = eachKey({
  ingress: (tree) => (tree.kind === 'map' ? list(tree.at, [tree]) : tree),
  job: (tree) => (tree.kind === 'scalar' ? map(tree.at, [['when', tree]]) : tree),
});

const service: Change = eachKey({
  build,
  command: (tree, paths) => texts(words(tree, paths), paths),
  entrypoint: (tree, paths) => texts(words(tree, paths), paths),
  environment: asPairs,
  env_file: environmentFiles,
  labels: asPairs,
  annotations: asPairs,
  sysctls: asPairs,
  extra_hosts: hostItems,
  dns: asList,
  dns_search: asList,
  tmpfs: asList,
  depends_on: dependencies,
  networks: memberships,
  ports,
  expose: texts,
  volumes,
  secrets: grants,
  configs: grants,
  devices,
  healthcheck: eachKey({ test: healthTest }),
  deploy: eachKey({ labels: asPairs }),
  extends: (tree) => (tree.kind === 'scalar' ? map(tree.at, [['service', tree]]) : tree),
  pre_start: hooks,
  post_start: hooks,
  pre_stop: hooks,
  'x-bulkhead': extension,
});

const labelled = eachKey({ labels: asPairs });
const resource: Change = (tree, paths) => labelled(external(tree, paths), paths);
const content: Change = (tree, paths) => eachKey({ file: toPath })(resource(tree, paths), paths);

const file = eachKey({
  services: eachValue(service),
  networks: eachValue(resource),
  volumes: eachValue(resource),
  secrets: eachValue(content),
  configs: eachValue(content),
});

export function canonical(tree: MapTree, paths: Paths): MapTree {
  return file(tree, paths) as MapTree;
}

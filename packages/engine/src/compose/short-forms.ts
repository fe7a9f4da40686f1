/** Short syntaxes of one list item (ports, volumes, names with values) to their long form, each part at the place of the whole. */
import path from 'node:path';
import { list, type MapTree, map, type Place, refuse, type ScalarTree, scalar, type Tree, textOf } from './tree.ts';

export interface Paths {
  /** Relative paths begin here. */
  directory: string;
  home: string | undefined;
}

export function absolutePath(text: string, paths: Paths): string {
  if (text === '~' || text.startsWith('~/')) return path.posix.join(paths.home ?? '/root', text.slice(1));
  return path.posix.resolve(paths.directory, text);
}

/** `NAME=value` items to a mapping; a name alone has no value. */
export function pairs(tree: Tree, separator = '='): Tree {
  if (tree.kind !== 'list') return tree;
  const entries: [string, Tree][] = tree.items.map((item) => {
    const text = textOf(item) ?? '';
    const at = text.indexOf(separator);
    return [at < 0 ? text : text.slice(0, at), scalar(item.at, at < 0 ? null : text.slice(at + 1))];
  });
  return { ...map(tree.at, entries), ...(tree.mark ? { mark: tree.mark } : {}) };
}

function range(at: Place, text: string, whole: string): [number, number] {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (!match || first < 1 || last > 65535 || last < first) {
    const why = match ? `the port ${text} is not from 1 to 65535` : `${JSON.stringify(text)} is not a port`;
    refuse(
      at,
      `the port mapping ${JSON.stringify(whole)} is wrong: ${why}`,
      'Write [IP:][HOST:]PORT[/tcp|udp], each part a port or a range like 8000-8005.',
    );
  }
  return [first, last];
}

/** `[IP:][HOST:]PORT[/PROTOCOL]` with ranges: one long form for each port of a range. */
export function portItems(tree: ScalarTree): MapTree[] {
  const whole = textOf(tree) ?? '';
  const match = /^(?:(?:(\[[0-9a-fA-F:.]+\]|[0-9]+\.[0-9.]+):)?([^:/]*):)?([^:/]+)(?:\/([a-z]+))?$/.exec(whole);
  if (!match)
    refuse(tree.at, `the port mapping ${JSON.stringify(whole)} is wrong`, 'Write [IP:][HOST:]PORT[/tcp|udp].');
  const [, ip, host = '', port = '', protocol = 'tcp'] = match;
  if (protocol !== 'tcp' && protocol !== 'udp') {
    refuse(
      tree.at,
      `the port mapping ${JSON.stringify(whole)} is wrong: there is no protocol ${JSON.stringify(protocol)}`,
      'Use tcp or udp.',
    );
  }
  const [first, last] = range(tree.at, port, whole);
  // 0 is "any free one", as is nothing.
  const outside = host === '' || host === '0' ? undefined : range(tree.at, host, whole);
  if (outside && outside[1] - outside[0] !== last - first) {
    refuse(
      tree.at,
      `the port mapping ${JSON.stringify(whole)} is wrong: its ranges differ in length`,
      'Give as many host ports as ports, or publish an HTTP service by x-bulkhead ingress.',
    );
  }
  return Array.from({ length: last - first + 1 }, (_, index) =>
    map(tree.at, [
      ['mode', scalar(tree.at, 'ingress')],
      ...(ip === undefined ? [] : [['host_ip', scalar(tree.at, ip.replace(/[[\]]/g, ''))] as const]),
      ['target', scalar(tree.at, first + index)],
      ...(outside ? [['published', scalar(tree.at, String(outside[0] + index))] as const] : []),
      ['protocol', scalar(tree.at, protocol)],
    ]),
  );
}

const PROPAGATION = new Set(['rprivate', 'private', 'rslave', 'slave', 'rshared', 'shared']);
const READ = new Set(['ro', 'rw', 'z', 'Z', 'nocopy', 'cached', 'delegated', 'consistent', ...PROPAGATION]);

/** `[SOURCE:]TARGET[:MODE]`. */
export function volumeItem(tree: ScalarTree, paths: Paths): MapTree {
  const { at } = tree;
  const whole = textOf(tree) ?? '';
  const parts = whole.split(':');
  const wrong = (why: string): never =>
    refuse(
      at,
      `the volume ${JSON.stringify(whole)} is wrong: ${why}`,
      'Write [SOURCE:]/TARGET[:ro], with a name, or a path that begins with . or / as the source.',
    );
  if (parts.length > 3) wrong('it has more than three parts');
  if (parts.some((part) => part === '')) wrong('a part is empty');
  const [source, target, modes = ''] =
    parts.length === 1 ? [undefined, parts[0]!] : (parts as [string, string, string?]);
  if (!target.startsWith('/')) wrong(`the target ${JSON.stringify(target)} is not an absolute path`);
  const options = modes === '' ? [] : modes.split(',');
  for (const option of options) if (!READ.has(option)) wrong(`there is no option ${JSON.stringify(option)}`);
  const readOnly: [string, Tree][] = options.includes('ro') ? [['read_only', scalar(at, true)]] : [];
  const propagation = options.find((option) => PROPAGATION.has(option));
  if (source !== undefined && /^[./~]/.test(source)) {
    return map(at, [
      ['type', scalar(at, 'bind')],
      ['source', scalar(at, absolutePath(source, paths))],
      ['target', scalar(at, target)],
      ...readOnly,
      [
        'bind',
        map(at, [
          ['create_host_path', scalar(at, true)],
          ...(propagation === undefined ? [] : [['propagation', scalar(at, propagation)] as const]),
        ]),
      ],
    ]);
  }
  if (source !== undefined && !/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(source))
    wrong(`${JSON.stringify(source)} is neither a name nor a path that begins with . or /`);
  if (propagation !== undefined) wrong(`${propagation} is for binds`);
  return map(at, [
    ['type', scalar(at, 'volume')],
    ...(source === undefined ? [] : [['source', scalar(at, source)] as const]),
    ['target', scalar(at, target)],
    ...readOnly,
    ['volume', map(at, options.includes('nocopy') ? [['nocopy', scalar(at, true)]] : [])],
  ]);
}

/** `HOST:ADDRESS` and `HOST=ADDRESS`, or a mapping, to `HOST=ADDRESS`. */
export function hostItems(tree: Tree): Tree {
  const items: Tree[] = [];
  if (tree.kind === 'map') {
    for (const [host, { value }] of tree.entries)
      for (const address of value.kind === 'list' ? value.items : [value])
        items.push(scalar(address.at, `${host}=${textOf(address)}`));
  } else if (tree.kind === 'list') {
    for (const item of tree.items) {
      const match = /^([^=:]+)[=:](.+)$/.exec(textOf(item) ?? '');
      if (!match) refuse(item.at, `the extra host ${JSON.stringify(textOf(item))} is wrong`, 'Write HOST=ADDRESS.');
      items.push(scalar(item.at, `${match[1]}=${match[2]!.replace(/^\[(.*)\]$/, '$1')}`));
    }
  }
  return { ...list(tree.at, items), ...(tree.mark ? { mark: tree.mark } : {}) };
}

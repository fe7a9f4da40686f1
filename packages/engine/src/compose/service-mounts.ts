/** Volumes, binds and tmpfs of a canonical service as mounts. */
import type { MountSpec } from '../domain/task.ts';
import { bytesOf, flagOf, modeOf } from './quantities.ts';
import { get, itemsOf, refuse, type Tree, textOf } from './tree.ts';

/** `volumeName` gives a named volume its name on the host. */
export function mounts(service: Tree, volumeName: (key: string, at: Tree) => string): MountSpec[] | undefined {
  const found = [
    ...itemsOf(get(service, 'volumes')).map((item) => mount(item, volumeName)),
    ...itemsOf(get(service, 'tmpfs')).map(tmpfs),
  ];
  return found.length > 0 ? found : undefined;
}

function mount(item: Tree, volumeName: (key: string, at: Tree) => string): MountSpec {
  const type = textOf(get(item, 'type')) ?? 'volume';
  const source = get(item, 'source');
  const target = textOf(get(item, 'target')) ?? '';
  const readOnly = flagOf(get(item, 'read_only')) ?? false;
  if (!target.startsWith('/'))
    refuse(
      get(item, 'target')?.at ?? item.at,
      `the volume target ${JSON.stringify(target)} is not an absolute path`,
      'Begin it with /.',
    );
  if (type === 'bind') {
    if (!source) refuse(item.at, 'a bind lacks its source', 'Add `source:` with a path.');
    const propagation = get(get(item, 'bind'), 'propagation');
    if (propagation && !['rprivate', 'private'].includes(textOf(propagation) ?? ''))
      refuse(
        propagation.at,
        `bind propagation ${textOf(propagation)} is not supported`,
        'Remove the key: mounts made later stay on their side.',
        'compose_unsupported',
      );
    return { type, source: textOf(source) ?? '', target, readOnly };
  }
  if (type === 'tmpfs') {
    const size = get(get(item, 'tmpfs'), 'size');
    const mode = get(get(item, 'tmpfs'), 'mode');
    return {
      type,
      source: '',
      target,
      readOnly,
      ...(size ? { sizeBytes: bytesOf(size, 'tmpfs.size') } : {}),
      ...(mode ? { mode: modeOf(mode) } : {}),
    };
  }
  const nocopy = get(get(item, 'volume'), 'nocopy');
  if (nocopy && flagOf(nocopy))
    refuse(
      nocopy.at,
      'nocopy is not supported',
      "Remove it: a new volume begins with the image's files at its target.",
      'compose_unsupported',
    );
  if (type === 'volume')
    return { type, source: source ? volumeName(textOf(source) ?? '', source) : '', target, readOnly };
  return refuse(
    get(item, 'type')?.at ?? item.at,
    `the volume type ${type} is not supported`,
    'Use volume, bind or tmpfs.',
    'compose_unsupported',
  );
}

/** `/TARGET[:size=64m,mode=1777]`. */
function tmpfs(item: Tree): MountSpec {
  const [target = '', options = ''] = (textOf(item) ?? '').split(':');
  const found: MountSpec = { type: 'tmpfs', source: '', target, readOnly: false };
  if (!target.startsWith('/'))
    refuse(item.at, `the tmpfs ${JSON.stringify(target)} is not an absolute path`, 'Begin it with /.');
  for (const option of options.split(',').filter((text) => text !== '')) {
    const [key = '', value = ''] = option.split('=');
    const part: Tree = { kind: 'scalar', at: item.at, value };
    if (key === 'size') found.sizeBytes = bytesOf(part, 'the size of the tmpfs');
    else if (key === 'mode') found.mode = modeOf(part);
    else if (key === 'ro') found.readOnly = true;
    // The last three are always on.
    else if (!['rw', 'noexec', 'nosuid', 'nodev'].includes(key))
      refuse(
        item.at,
        `the tmpfs option ${JSON.stringify(key)} is not supported`,
        'There are size, mode and ro.',
        'compose_unsupported',
      );
  }
  return found;
}

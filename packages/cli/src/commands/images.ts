/** `images`: what the store holds, a line a name. */
import type { ImageSummary } from '@bulkhead/contract/types';
import type { Command } from '../command.ts';
import { FILTER, filterRows, hasLabel, LIST_FLAGS, NO_TRUNC, printList, shortId } from '../listing.ts';
import { ago, humanSize } from '../quantities.ts';

interface Row extends ImageSummary {
  repository: string;
  tag: string;
}

export const command: Command = {
  usage: '[FLAGS] [NAME[:TAG]]',
  summary: 'List images',
  flags: [
    { name: 'all', short: 'a', kind: 'switch', meaning: 'No effect: there are no hidden images', hidden: true },
    FILTER,
    ...LIST_FLAGS,
    NO_TRUNC,
    { name: 'digests', kind: 'switch', meaning: 'Show digests' },
  ],
  examples: ['bulkhead images', 'bulkhead images -q alpine'],
  subject: 'image',
  arguments: [0, 1],
  async run({ flags, args, client }) {
    let images = await (await client()).listImages();
    images.sort((a, b) => b.createdAt - a.createdAt);
    images = filterRows(images, flags.list('filter'), {
      dangling: (image, value) => (image.tags.length === 0) === ['true', '1'].includes(value),
      reference: (image, value) => image.tags.some((tag) => matches(tag, value)),
      label: (image, value) => hasLabel((image.config as { labels?: Record<string, string> })?.labels ?? {}, value),
    });
    const wanted = args[0];
    if (wanted !== undefined) images = images.filter((image) => image.tags.some((tag) => matches(tag, wanted)));
    if (flags.text('format') === 'json') return printList(flags, images, [], (image) => image.id);
    const full = flags.on('no-trunc');
    const rows = images.flatMap((image) => rowsOf(image).filter((row) => wanted === undefined || fits(row, wanted)));
    if (flags.on('quiet')) return printList(flags, images, [], (image) => shortId(image.id, full));
    const now = Date.now();
    printList(
      flags,
      rows,
      [
        { title: 'REPOSITORY', value: (row) => row.repository },
        { title: 'TAG', value: (row) => row.tag },
        ...(flags.on('digests') ? [{ title: 'DIGEST', value: digestOf }] : []),
        { title: 'IMAGE ID', value: (row) => shortId(row.id, full) },
        { title: 'CREATED', value: (row) => ago(row.createdAt, now) },
        { title: 'SIZE', value: (row) => humanSize(row.sizeBytes) },
      ],
      (row) => shortId(row.id, full),
    );
  },
};

/** Docker hides its own registry's name. */
export function familiar(name: string): string {
  return name.replace(/^docker\.io\/(library\/)?/, '');
}

function rowsOf(image: ImageSummary): Row[] {
  if (image.tags.length === 0) return [{ ...image, repository: '<none>', tag: '<none>' }];
  return image.tags.map((name) => {
    const at = name.lastIndexOf(':');
    const hasTag = at > name.lastIndexOf('/');
    return {
      ...image,
      repository: familiar(hasTag ? name.slice(0, at) : name),
      tag: hasTag ? name.slice(at + 1) : '<none>',
    };
  });
}

function fits(row: Row, wanted: string): boolean {
  return matches(`${row.repository}:${row.tag}`, wanted);
}

/** `name`, `name:tag`, with `*` for anything but `/`. */
function matches(tag: string, wanted: string): boolean {
  const toPattern = (text: string) => text.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '[^/]*');
  const pattern = toPattern(familiar(wanted));
  const hasTag = wanted.lastIndexOf(':') > wanted.lastIndexOf('/');
  return new RegExp(`^${pattern}${hasTag ? '' : '(:[^/]*)?'}$`).test(familiar(tag));
}

function digestOf(row: Row): string {
  const found = row.repoDigests.find((one) => familiar(one.split('@')[0]!) === row.repository) ?? row.repoDigests[0];
  return found?.split('@')[1] ?? '<none>';
}

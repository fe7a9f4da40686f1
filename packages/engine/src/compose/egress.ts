/** `x-bulkhead.egress`: where a service may connect to. */
import { isIP } from 'node:net';
import type { EgressGrant } from '../domain/app.ts';
import { numberOf } from './quantities.ts';
import { get, itemsOf, refuse, type Tree, textOf } from './tree.ts';

const HOST = /^(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i;

/** `none`, `internet`, a name or a CIDR, the last two with `:PORT`. */
function isDestination(text: string): boolean {
  if (text === 'none' || text === 'internet') return true;
  const [, place = '', port] = /^(.*?)(?::(\d{1,5}))?$/.exec(text.includes('::') ? `${text}:1` : text) ?? [];
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65535)) return false;
  const slash = place.indexOf('/');
  if (slash < 0) return HOST.test(place);
  const kind = isIP(place.slice(0, slash));
  const bits = place.slice(slash + 1);
  return kind !== 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (kind === 4 ? 32 : 128);
}

const texts = (tree: Tree | undefined): string[] => itemsOf(tree).map((item) => textOf(item) ?? '');

/** Absent where nothing is said: then the trust decides. `secrets` are the keys of the app. */
export function egressGrants(tree: Tree | undefined, secrets: string[]): EgressGrant[] | undefined {
  if (!tree) return undefined;
  const grants = itemsOf(tree).map((item) => grant(item, secrets));
  const none = grants.find(({ to }) => to === 'none');
  if (none && grants.length > 1)
    refuse(none.source, 'egress is none and something else', 'Keep `egress: none`, or take none out of the list.');
  return grants;
}

function grant(item: Tree, secrets: string[]): EgressGrant {
  const target =
    item.kind === 'map' ? (get(item, 'host') ?? get(item, 'cidr') ?? get(item, 'service') ?? get(item, 'app')) : item;
  if (!target) refuse(item.at, 'the egress grant does not say to what', 'Add `host:`, `cidr:` or `service:`.');
  const to = textOf(target) ?? '';
  if (!isDestination(to))
    refuse(
      target.at,
      `the egress destination ${JSON.stringify(to)} is not one`,
      'Write internet, none, a name like api.example.com:443, or a CIDR like 192.0.2.0/24.',
    );
  const port = get(item, 'port');
  const injected = get(item, 'inject');
  const secret = get(injected, 'secret');
  if (secret && !secrets.includes(textOf(secret) ?? ''))
    refuse(secret.at, `the secret ${textOf(secret)} is not declared`, 'Add it under `secrets:` at the top.');
  return {
    to,
    ...(port ? { port: numberOf(port, 'the egress port', { min: 1, max: 65535, whole: true }) } : {}),
    methods: texts(get(item, 'methods')),
    paths: texts(get(item, 'paths')),
    ...(injected ? { inject: { header: textOf(get(injected, 'header')) ?? '', secret: textOf(secret) ?? '' } } : {}),
    source: item.at,
  };
}

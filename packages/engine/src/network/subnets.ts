/** Chooses subnets that nothing on this host routes yet. */
import { BulkheadError } from '@bulkhead/contract';
import { mustRun } from './command.ts';
import { formatAddress, formatSubnet, overlaps, parseSubnet, type Subnet } from './ipv4.ts';

const POOL: Subnet = { base: 0x0a4d0000, prefixLength: 16 }; // 10.77.0.0/16
/** 1,021 instances on one network. */
const DEFAULT_PREFIX_LENGTH = 22;

/** Everything the host routes but the default route. */
export async function hostRoutes(): Promise<{ subnet: Subnet; text: string }[]> {
  const routes = JSON.parse((await mustRun('ip', ['-j', '-4', 'route', 'show', 'table', 'all'])) || '[]') as {
    dst: string;
    dev?: string;
  }[];
  return routes.flatMap(({ dst, dev }) => {
    const subnet = parseSubnet(dst);
    if (!subnet || subnet.prefixLength === 0) return [];
    return [{ subnet, text: `${dst}${dev ? ` on ${dev}` : ''}` }];
  });
}

export function gatewayOf(subnet: Subnet): string {
  return formatAddress(subnet.base + 1);
}

/** `wanted`, checked, or a free one. `taken` are the engine's own networks, whether up or not. */
export async function chooseSubnet(
  wanted: string | undefined,
  taken: { subnet: Subnet; text: string }[],
  tag: string,
): Promise<Subnet> {
  const used = [...taken, ...(await hostRoutes())];
  if (wanted !== undefined) {
    const subnet = parseSubnet(wanted);
    if (!subnet || !wanted.includes('/') || subnet.prefixLength < 8 || subnet.prefixLength > 29) {
      throw new BulkheadError(
        'invalid_request',
        `subnet ${JSON.stringify(wanted.slice(0, 60))} is not an IPv4 subnet`,
        {
          hint: 'Write it as 10.80.0.0/24, with a prefix length of 8 to 29.',
        },
      );
    }
    const clash = used.find((other) => overlaps(other.subnet, subnet));
    if (!clash) return subnet;
    throw new BulkheadError('subnet_in_use', `subnet ${formatSubnet(subnet)} overlaps ${clash.text}`);
  }
  const size = 2 ** (32 - DEFAULT_PREFIX_LENGTH);
  const count = 2 ** (DEFAULT_PREFIX_LENGTH - POOL.prefixLength);
  // Two engines on one host start at different places: they may choose at the same moment, before either has a route.
  const first = Number.parseInt(tag, 16) % count;
  for (let step = 0; step < count; step += 1) {
    const base = POOL.base + ((first + step) % count) * size;
    const subnet = { base, prefixLength: DEFAULT_PREFIX_LENGTH };
    if (!used.some((other) => overlaps(other.subnet, subnet))) return subnet;
  }
  throw new BulkheadError('subnet_in_use', `no free subnet is left in ${formatSubnet(POOL)}`, {
    hint: 'Name one with --subnet, or remove networks that nothing uses.',
  });
}

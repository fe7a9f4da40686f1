/** Networks, volumes, secrets and configurations of a canonical project. */
import { isIP } from 'node:net';
import type { AppContent, AppNetwork, AppVolume } from '../domain/app.ts';
import { flagOf } from './quantities.ts';
import { labelsOf } from './service-task.ts';
import { type Entry, entriesOf, get, itemsOf, type MapTree, refuse, type Tree, textOf } from './tree.ts';

function named(key: string, tree: Tree, project: string): { key: string; name: string; external: boolean } {
  const external = flagOf(get(tree, 'external')) ?? false;
  const name = textOf(get(tree, 'name')) ?? (external ? key : `${project}_${key}`);
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/.test(name)) {
    refuse(
      get(tree, 'name')?.at ?? tree.at,
      `${JSON.stringify(name)} cannot be a name`,
      'Use letters, digits, _, . and -, at most 128.',
    );
  }
  return { key, name, external };
}

function refuseDriver(tree: Tree, known: string[], what: string): void {
  const driver = get(tree, 'driver');
  if (driver && !known.includes(textOf(driver) ?? '')) {
    refuse(
      driver.at,
      `the ${what} driver ${JSON.stringify(textOf(driver))} is not supported`,
      `Use ${known[0]}, or remove the key.`,
      'compose_unsupported',
    );
  }
  const [option] = entriesOf(get(tree, 'driver_opts'));
  if (option)
    refuse(
      option[1].keyAt,
      `the ${what} driver has no option ${JSON.stringify(option[0])}`,
      'Remove driver_opts.',
      'compose_unsupported',
    );
}

/** Whether the IPv4 address lies in the subnet. */
function inside(address: string, subnet: string): boolean {
  const [network = '', bits = ''] = subnet.split('/');
  if (isIP(address) !== 4) return false;
  const number = (text: string): number => text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const size = 2 ** (32 - Number(bits));
  return Math.floor(number(address) / size) === Math.floor(number(network) / size);
}

export function networkOf(key: string, { keyAt, value }: Entry, project: string): AppNetwork {
  refuseDriver(value, ['bridge', 'default'], 'network');
  const ipam = get(value, 'ipam');
  refuseDriver(ipam ?? value, ['default', 'bridge'], 'ipam');
  const v6 = get(value, 'enable_ipv6');
  if (v6 && flagOf(v6)) refuse(v6.at, 'IPv6 networks are not supported', 'Remove enable_ipv6.', 'compose_unsupported');
  const configs = itemsOf(get(ipam, 'config'));
  const second = configs[1];
  if (second) refuse(second.at, 'a network has one subnet', 'Keep one item of ipam.config.', 'compose_unsupported');
  const subnet = get(configs[0], 'subnet');
  const gatewayTree = get(configs[0], 'gateway');
  const gateway = textOf(gatewayTree);
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(textOf(subnet) ?? '');
  if (subnet && (!match || match.slice(1, 5).some((part) => Number(part) > 255) || Number(match[5]) > 30)) {
    refuse(subnet.at, `${JSON.stringify(textOf(subnet))} is not an IPv4 subnet`, 'Write it like 10.20.0.0/24.');
  }
  if (gatewayTree && !(subnet && inside(gateway ?? '', textOf(subnet)!)))
    refuse(
      gatewayTree.at,
      `the gateway ${JSON.stringify(gateway)} is not an address of the subnet`,
      'Write an address inside `subnet:`, or leave the gateway out.',
    );
  return {
    ...named(key, value, project),
    internal: flagOf(get(value, 'internal')) ?? false,
    ...(subnet ? { subnet: textOf(subnet)! } : {}),
    ...(gateway === undefined ? {} : { gateway }),
    labels: labelsOf(get(value, 'labels')),
    source: keyAt,
  };
}

export function volumeOf(key: string, { keyAt, value }: Entry, project: string): AppVolume {
  refuseDriver(value, ['local'], 'volume');
  return {
    ...named(key, value, project),
    singleWriter: flagOf(get(get(value, 'x-bulkhead'), 'single-writer')) ?? false,
    labels: labelsOf(get(value, 'labels')),
    source: keyAt,
  };
}

export function contentOf(
  key: string,
  { keyAt, value }: Entry,
  project: string,
  what: 'secret' | 'config',
): AppContent {
  const sources = ['file', 'environment', 'content', 'external'].filter((one) =>
    one === 'external' ? flagOf(get(value, one)) : get(value, one),
  );
  if (sources.length === 0)
    refuse(keyAt, `the ${what} ${key} has no source`, 'Add one of `file:`, `environment:` or `external: true`.');
  if (sources.length > 1)
    refuse(
      (value as MapTree).entries.get(sources[1]!)!.keyAt,
      `the ${what} ${key} has both ${sources[0]} and ${sources[1]}`,
      'Keep one of them.',
    );
  const text = textOf(get(value, sources[0]!)) ?? '';
  const from: AppContent['from'] =
    sources[0] === 'file'
      ? { kind: 'file', path: text }
      : sources[0] === 'environment'
        ? { kind: 'environment', variable: text }
        : sources[0] === 'content'
          ? { kind: 'content', text }
          : { kind: 'external' };
  const { name } = named(key, value, project);
  return { key, name, from, labels: labelsOf(get(value, 'labels')), source: keyAt };
}

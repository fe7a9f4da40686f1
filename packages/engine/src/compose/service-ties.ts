/** What ties a service to others: its networks, and the services it depends on or links to. */
import type { Dependency, NetworkMembership } from '../domain/app.ts';
import { flagOf, numberOf } from './quantities.ts';
import { entriesOf, get, itemsOf, refuse, type Tree, textOf } from './tree.ts';

export function networkModeOf(mode: Tree, service: Tree): 'none' | 'bridge' {
  const text = textOf(mode) ?? '';
  const networks = get(service, 'networks');
  if (networks) refuse(mode.at, 'network_mode and networks contradict each other', 'Keep one of the two.');
  if (text === 'none' || text === 'bridge') return text;
  return refuse(
    mode.at,
    `network_mode ${JSON.stringify(text)} is not supported`,
    text === 'host'
      ? 'Remove the key and publish the ports the service serves: `ports: ["8080:8080"]`.'
      : 'Use none, or put both services on one network.',
    'compose_unsupported',
  );
}

export function memberships(name: string, service: Tree, networks: string[]): NetworkMembership[] {
  const containerName = textOf(get(service, 'container_name'));
  const own = containerName === undefined || containerName === name ? [name] : [name, containerName];
  const given = entriesOf(get(service, 'networks'));
  if (given.length === 0) return [{ network: 'default', aliases: own, priority: 0 }];
  return given
    .map(([network, { keyAt, value }]) => {
      if (network !== 'default' && !networks.includes(network))
        refuse(
          keyAt,
          `the network ${network} is not declared`,
          `Add it under \`networks:\` at the top: \`${network}: {}\`.`,
        );
      const aliases = itemsOf(get(value, 'aliases')).map((item) => textOf(item) ?? '');
      const priority = get(value, 'priority');
      return {
        network,
        aliases: [...new Set([...own, ...aliases])],
        priority: priority ? numberOf(priority, 'priority') : 0,
      };
    })
    .sort((a, b) => b.priority - a.priority);
}

export function dependencies(name: string, service: Tree, known: string[]): Dependency[] {
  const found: Dependency[] = [];
  for (const [other, { keyAt, value }] of entriesOf(get(service, 'depends_on'))) {
    const required = flagOf(get(value, 'required')) ?? true;
    if (other === name) refuse(keyAt, `the service ${name} depends on itself`, 'Take the dependency out.');
    if (!known.includes(other)) {
      if (!required) continue;
      refuse(
        keyAt,
        `the service ${name} depends on ${other}, which is not there`,
        'Declare it, switch its profile on with --profile, or write `required: false`.',
      );
    }
    found.push({
      service: other,
      condition: (textOf(get(value, 'condition')) ?? 'service_started') as Dependency['condition'],
      restart: flagOf(get(value, 'restart')) ?? false,
      required,
    });
  }
  for (const link of itemsOf(get(service, 'links'))) {
    const [other = '', alias] = (textOf(link) ?? '').split(':');
    if (!known.includes(other))
      refuse(link.at, `the service ${name} links to ${other}, which is not there`, 'Declare it, or take the link out.');
    if (alias !== undefined && alias !== other)
      refuse(
        link.at,
        `a link cannot give ${other} the other name ${alias}`,
        `Give ${other} an alias: \`networks: {default: {aliases: [${alias}]}}\`.`,
        'compose_unsupported',
      );
    if (!found.some((one) => one.service === other))
      found.push({ service: other, condition: 'service_started', restart: false, required: true });
  }
  return found;
}

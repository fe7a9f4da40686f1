/** What must hold between the services of an app: no circle of dependencies, no route and no host port twice. */
import type { AppService } from '../domain/app.ts';
import { type Place, placeText, refuse } from './tree.ts';

export function refuseCircles(services: AppService[]): void {
  const byName = new Map(services.map((service) => [service.name, service]));
  const done = new Set<string>();
  const visit = (service: AppService, chain: string[]): void => {
    if (done.has(service.name)) return;
    const index = chain.indexOf(service.name);
    if (index >= 0)
      refuse(
        service.source,
        `depends_on goes in a circle: ${[...chain.slice(index), service.name].join(' -> ')}`,
        'Take one dependency out.',
      );
    for (const { service: other } of service.dependsOn) visit(byName.get(other)!, [...chain, service.name]);
    done.add(service.name);
  };
  for (const service of services) visit(service, []);
}

/** One host and path, one service. */
export function refuseSharedRoutes(services: AppService[]): void {
  const routes = new Map<string, { name: string; source: Place }>();
  for (const { name, ingress } of services)
    for (const { host, path, source } of ingress) {
      const key = `${host?.toLowerCase() ?? 'any host'} ${path}`;
      const first = routes.get(key);
      if (first)
        refuse(
          source,
          `the route ${key} already leads to ${first.name} at ${placeText(first.source)}`,
          'Give one of them another host or path.',
        );
      routes.set(key, { name, source });
    }
}

/** One host port, one service. */
export function refuseSharedPorts(services: AppService[], placesOf: (service: string) => Place[]): void {
  const taken: { name: string; at: Place; hostIp: string; key: string }[] = [];
  for (const { name, source, task } of services) {
    const places = placesOf(name);
    for (const [index, { hostIp, hostPort, protocol }] of (task.ports ?? []).entries()) {
      if (hostPort === 0) continue;
      const key = `${hostPort}/${protocol}`;
      const at = places[index] ?? source;
      const first = taken.find((one) => one.key === key && overlap(one.hostIp, hostIp));
      if (first)
        refuse(
          at,
          `the host port ${key} is already published by ${first.name} at ${placeText(first.at)}`,
          'Give one of them another host port.',
        );
      taken.push({ name, at, hostIp, key });
    }
  }
}

/** All addresses of a kind hold each of that kind. */
function overlap(one: string, other: string): boolean {
  const all = (address: string): string => (address.includes(':') ? '::' : '0.0.0.0');
  return one === other || (all(one) === all(other) && [one, other].includes(all(one)));
}

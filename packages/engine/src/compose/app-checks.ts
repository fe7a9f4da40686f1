/** What must hold between the services of an app: no circle of dependencies, no host port twice. */
import type { AppService } from '../domain/app.ts';
import { placeText, refuse } from './tree.ts';

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

/** One host port, one service. */
export function refuseSharedPorts(services: AppService[]): void {
  const ports = new Map<string, AppService>();
  for (const service of services) {
    for (const { hostIp, hostPort, protocol } of service.task.ports ?? []) {
      if (hostPort === 0) continue;
      const key = `${hostIp}:${hostPort}/${protocol}`;
      const first = ports.get(key);
      if (first)
        refuse(
          service.source,
          `the services ${first.name} and ${service.name} (${placeText(first.source)}) both publish ${key}`,
          'Give one of them another host port.',
        );
      ports.set(key, service);
    }
  }
}

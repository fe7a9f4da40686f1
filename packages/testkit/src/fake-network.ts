/** Networks without a host: leases are files, so that a test sees what a crash has left. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { BulkheadError } from '@bulkhead/contract';
import type { HostPaths, Lease, NetworkProvider, NetworkRecord } from '@bulkhead/engine';

type Port = Awaited<ReturnType<NetworkProvider['publish']>>[number];

export class FakeNetwork implements NetworkProvider {
  readonly #directory: string;
  readonly #published = new Map<string, Port[]>();
  #next = 1;

  constructor(paths: HostPaths) {
    this.#directory = `${paths.run}/fake-network`;
    mkdirSync(this.#directory, { recursive: true });
  }

  leases(): string[] {
    return readdirSync(this.#directory);
  }

  async reconcile(_networks: NetworkRecord[], leases: { id: string; ports: Port[] }[]): Promise<void> {
    const known = new Set(leases.map((each) => each.id));
    for (const id of this.leases()) if (!known.has(id)) rmSync(`${this.#directory}/${id}`, { force: true });
    for (const { id, ports } of leases) this.#published.set(id, ports);
  }

  async create(request: Parameters<NetworkProvider['create']>[0]): Promise<NetworkRecord> {
    const number = this.#next++;
    const subnet = request.subnet ?? `10.77.${number}.0/24`;
    if (!/^\d+\.\d+\.\d+\.\d+\/\d+$/.test(subnet)) {
      throw new BulkheadError('invalid_request', `${subnet} is not a subnet`);
    }
    return {
      id: `net${process.pid}-${number}-${request.name}`,
      name: request.name,
      subnet,
      gateway: subnet.replace(/\d+\/\d+$/, '1'),
      bridge: `b${number}`,
      internal: request.internal,
      labels: request.labels,
      createdAt: 0,
    };
  }

  async remove(): Promise<void> {}

  async acquire(network: NetworkRecord, id: string): Promise<Lease> {
    writeFileSync(`${this.#directory}/${id}`, '');
    return {
      network: network.name,
      netnsPath: `/nowhere/${id}`,
      interfaceName: 'eth0',
      mac: '02:00:00:00:00:02',
      ip: network.gateway.replace(/\d+$/, '2'),
      prefixLength: 24,
      gateway: network.gateway,
      dnsServer: network.gateway,
    };
  }

  async publish(id: string, _lease: Lease, ports: Port[]): Promise<Port[]> {
    const taken = new Set([...this.#published.values()].flat().map((port) => `${port.hostPort}/${port.protocol}`));
    const chosen = ports.map((port) => ({ ...port, hostPort: port.hostPort || 40_000 + port.port }));
    for (const port of chosen) {
      if (taken.has(`${port.hostPort}/${port.protocol}`)) {
        throw new BulkheadError('port_in_use', `host port ${port.hostPort} is taken`);
      }
    }
    this.#published.set(id, chosen);
    return chosen;
  }

  async free(id: string): Promise<void> {
    this.#published.delete(id);
    rmSync(`${this.#directory}/${id}`, { force: true });
  }

  async rename(): Promise<void> {}
  async counters() {
    return { receivedBytes: 0, sentBytes: 0 };
  }
  async destroyAll(): Promise<void> {}
}

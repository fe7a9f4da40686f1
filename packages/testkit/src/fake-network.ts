/** A network without packets that keeps every other promise of the port. Leases are files too, so that a test sees what a crash has left. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { BulkheadError } from '@bulkhead/contract';
import type { Lease } from '@bulkhead/engine/domain/instance';
import type { PortMapping } from '@bulkhead/engine/domain/task';
import type { HostPaths } from '@bulkhead/engine/ports/host';
import type { NetworkProvider, NetworkRecord } from '@bulkhead/engine/ports/network';

interface Member {
  id: string;
  network: string;
  lease: Lease;
  names: string[];
  ports: PortMapping[];
}

const NAME = /^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,252}$/;
const FIRST_FREE = 32768;

export class FakeNetwork implements NetworkProvider {
  /** Ports other programs have, e.g. `8080/tcp`. */
  readonly foreignPorts = new Set<string>();
  readonly #networks = new Map<string, NetworkRecord>();
  readonly #directory: string;
  #members: Member[] = [];
  #count = 0;

  constructor(paths: HostPaths) {
    this.#directory = `${paths.run}/fake-network`;
    mkdirSync(this.#directory, { recursive: true });
  }

  /** Ids of the instances that have something on the host, also those a former process left. */
  leases(): string[] {
    return readdirSync(this.#directory);
  }

  /** Who is on a network, for assertions. */
  membersOf(network: string): { id: string; names: string[]; ports: PortMapping[] }[] {
    return this.#members.filter((member) => member.network === network);
  }

  async reconcile(
    networks: NetworkRecord[],
    leases: { id: string; lease: Lease; ports: PortMapping[]; names: string[] }[],
  ): Promise<void> {
    this.#networks.clear();
    for (const network of networks) this.#networks.set(network.id, network);
    this.#members = leases.map((known) => ({ ...known, network: known.lease.network }));
    const known = new Set(leases.map(({ id }) => id));
    for (const id of this.leases()) if (!known.has(id)) this.#forget(id);
    for (const { lease } of leases) this.#count = Math.max(this.#count, Number(lease.netnsPath.split('-').at(-1)));
  }

  async create(request: {
    name: string;
    subnet?: string;
    internal: boolean;
    labels: Record<string, string>;
  }): Promise<NetworkRecord> {
    const { name, internal, labels } = request;
    if (!NAME.test(name)) throw new BulkheadError('invalid_name', `${JSON.stringify(name)} is not a network name`);
    const others = [...this.#networks.values()];
    if (others.some((other) => other.name === name)) throw new BulkheadError('name_in_use', `${name} exists already`);
    const subnet = request.subnet ?? this.#freeSubnet();
    if (!/^\d+\.\d+\.\d+\.\d+\/\d+$/.test(subnet)) {
      throw new BulkheadError('invalid_request', `subnet ${JSON.stringify(subnet)} is not an IPv4 subnet`);
    }
    if (others.some((other) => prefix(other.subnet) === prefix(subnet))) {
      throw new BulkheadError('subnet_in_use', `subnet ${subnet} is taken`);
    }
    this.#count += 1;
    const id = this.#count.toString(16).padStart(32, '0');
    const gateway = `${prefix(subnet)}.1`;
    const record = {
      id,
      name,
      subnet,
      gateway,
      bridge: `bfake${this.#count}`,
      internal,
      labels,
      createdAt: this.#count,
    };
    this.#networks.set(id, record);
    return record;
  }

  async remove(network: NetworkRecord): Promise<void> {
    if (this.membersOf(network.name).length > 0) throw new BulkheadError('in_use', `network ${network.name} is in use`);
    this.#networks.delete(network.id);
  }

  async acquire(network: NetworkRecord, id: string, names: string[]): Promise<Lease> {
    checkNames(names);
    this.#networks.set(network.id, network);
    const present = this.#members.find((member) => member.id === id);
    if (present) return present.lease;
    this.#count += 1;
    const taken = new Set(this.membersOf(network.name).map((member) => (member as Member).lease.ip));
    let host = 2;
    while (taken.has(`${prefix(network.subnet)}.${host}`)) host += 1;
    const lease: Lease = {
      network: network.name,
      netnsPath: `/run/netns/bhfake-${this.#count}`,
      interfaceName: 'eth0',
      mac: `02:bd:00:00:00:${host.toString(16).padStart(2, '0')}`,
      ip: `${prefix(network.subnet)}.${host}`,
      prefixLength: Number(network.subnet.split('/')[1]),
      gateway: network.gateway,
      dnsServer: network.gateway,
    };
    this.#members.push({ id, network: network.name, lease, names, ports: [] });
    writeFileSync(`${this.#directory}/${id}`, '');
    return lease;
  }

  async publish(id: string, _lease: Lease, ports: PortMapping[]): Promise<PortMapping[]> {
    const member = this.#members.find((candidate) => candidate.id === id);
    const claimed: PortMapping[] = [];
    for (const port of ports) {
      const wanted = { ...port, hostPort: port.hostPort === 0 ? this.#freePort(port, claimed) : port.hostPort };
      const owner = this.#ownerOf(wanted, claimed);
      if (owner !== undefined) {
        const where = `${wanted.hostIp}:${wanted.hostPort}/${wanted.protocol}`;
        throw new BulkheadError('port_in_use', `host port ${where} is already used by ${owner}`);
      }
      claimed.push(wanted);
    }
    member?.ports.push(...claimed);
    return claimed;
  }

  async free(id: string, lease: Lease): Promise<void> {
    this.#members = this.#members.filter((member) => member.id !== id || member.lease.netnsPath !== lease.netnsPath);
    if (!this.#members.some((member) => member.id === id)) this.#forget(id);
  }

  async rename(id: string, _lease: Lease, names: string[]): Promise<void> {
    checkNames(names);
    for (const member of this.#members) if (member.id === id) member.names = names;
  }

  async counters(): Promise<{ receivedBytes: number; sentBytes: number }> {
    return { receivedBytes: 0, sentBytes: 0 };
  }

  async destroyAll(): Promise<void> {
    this.#networks.clear();
    this.#members = [];
    for (const id of this.leases()) this.#forget(id);
  }

  #forget(id: string): void {
    rmSync(`${this.#directory}/${id}`, { force: true });
  }

  #freeSubnet(): string {
    const taken = new Set([...this.#networks.values()].map(({ subnet }) => prefix(subnet)));
    let third = 0;
    while (taken.has(`10.77.${third}`)) third += 1;
    return `10.77.${third}.0/24`;
  }

  #freePort(port: PortMapping, claimed: PortMapping[]): number {
    let hostPort = FIRST_FREE;
    while (this.#ownerOf({ ...port, hostPort }, claimed) !== undefined) hostPort += 1;
    return hostPort;
  }

  #ownerOf(port: PortMapping, claimed: PortMapping[]): string | undefined {
    if (this.foreignPorts.has(`${port.hostPort}/${port.protocol}`)) return 'another program';
    if (claimed.some((other) => clash(other, port))) return 'this instance itself';
    const owner = this.#members.find((member) => member.ports.some((other) => clash(other, port)));
    return owner === undefined ? undefined : `instance ${owner.names[0] ?? owner.id}`;
  }
}

const prefix = (subnet: string): string => subnet.split('.').slice(0, 3).join('.');

function clash(a: PortMapping, b: PortMapping): boolean {
  if (a.protocol !== b.protocol || a.hostPort !== b.hostPort) return false;
  return a.hostIp === b.hostIp || a.hostIp === '0.0.0.0' || b.hostIp === '0.0.0.0';
}

function checkNames(names: string[]): void {
  for (const name of names) {
    if (!NAME.test(name))
      throw new BulkheadError('invalid_name', `${JSON.stringify(name)} cannot be a name on a network`);
  }
}

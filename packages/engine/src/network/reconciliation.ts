/** One pass that makes the host agree with the records: adopts what is right, makes what is missing, removes the rest. */
import type { Lease } from '../domain/instance.ts';
import type { PortMapping } from '../domain/task.ts';
import { attachLinks, deleteLinks, ensureBridges, masters, ownLinks } from './bridges.ts';
import type { Firewall } from './firewall.ts';
import type { HostNames } from './host-names.ts';
import { endNameServers } from './name-server.ts';
import { isNetns, listNetns, makeSlots, removeSlots } from './netns.ts';
import type { NetworkState } from './network-state.ts';
import type { PublishedPorts } from './published-ports.ts';

export interface KnownLease {
  id: string;
  lease: Lease;
  ports: PortMapping[];
  names: string[];
}

export interface AcceptedLease extends KnownLease {
  number: number;
  state: NetworkState;
}

export class Reconciliation {
  readonly #names: HostNames;
  readonly #firewall: Firewall;
  readonly #root: string;
  readonly #states: NetworkState[];
  readonly #ports: PublishedPorts;
  #accepted: AcceptedLease[] = [];

  constructor(parts: {
    names: HostNames;
    firewall: Firewall;
    root: string;
    states: NetworkState[];
    ports: PublishedPorts;
  }) {
    this.#names = parts.names;
    this.#firewall = parts.firewall;
    this.#root = parts.root;
    this.#states = parts.states;
    this.#ports = parts.ports;
  }

  /** Those whose network is known and whose netns is one of ours; reserves their addresses. */
  accept(leases: KnownLease[]): AcceptedLease[] {
    this.#accepted = leases.flatMap((known) => {
      const number = this.#names.netnsNumber(known.lease.netnsPath);
      const state = this.#states.find(
        ({ record }) => record.name === known.lease.network || record.id === known.lease.network,
      );
      if (number === undefined || !state) return [];
      state.addresses.reserve(known.lease.ip);
      return [{ ...known, number, state }];
    });
    return this.#accepted;
  }

  async run(leases: KnownLease[], warn: (message: string) => void): Promise<void> {
    const wanted = new Set(this.#accepted.map(({ number }) => number));
    const pooled = this.#states.flatMap(({ pool, making }) => [...pool.ready, ...making].map(({ number }) => number));
    await this.#loadFirewall();
    await endNameServers(this.#root, new Set(this.#states.map(({ record }) => record.id)));
    await this.#removeLeftovers(new Set([...wanted, ...pooled]));
    await ensureBridges(this.#states.map(({ wiring }) => wiring));
    await this.#repairMembers();
    await Promise.all(this.#states.map(({ nameServer }) => nameServer.start()));
    this.#registerNames();
    this.#ports.retainOwners(new Set(leases.map(({ id }) => id)));
    for (const { id, ports, names } of this.#accepted) {
      for (const port of ports) {
        if (await this.#ports.readopt(id, port)) continue;
        const where = `${port.hostIp}:${port.hostPort}/${port.protocol}`;
        warn(`host port ${where} of instance ${names[0] ?? id} was taken by another program while the engine was down`);
      }
    }
  }

  #loadFirewall(): Promise<void> {
    const member = (number: number, mac: string, ip: string) => ({ veth: this.#names.veth(number), mac, ip });
    return this.#firewall.replace({
      networks: this.#states.map(({ firewallNetwork }) => firewallNetwork),
      members: [
        ...this.#accepted.map(({ number, lease }) => member(number, lease.mac, lease.ip)),
        ...this.#states.flatMap(({ pool, making }) =>
          [...pool.ready, ...making].map(({ number, mac, ip }) => member(number, mac, ip)),
        ),
      ],
      ports: this.#accepted.flatMap(({ lease, ports }) =>
        ports.map(({ protocol, hostIp, hostPort, port }) => ({ protocol, hostIp, hostPort, ip: lease.ip, port })),
      ),
    });
  }

  async #removeLeftovers(keep: Set<number>): Promise<void> {
    await removeSlots(
      this.#names,
      listNetns(this.#names).filter((number) => !keep.has(number)),
    );
    const { bridges, veths } = ownLinks(this.#names);
    const ours = new Set([...keep].map((number) => this.#names.veth(number)));
    const known = new Set(this.#states.map(({ record }) => record.bridge));
    await deleteLinks([...veths.filter((name) => !ours.has(name)), ...bridges.filter((name) => !known.has(name))]);
  }

  async #repairMembers(): Promise<void> {
    const master = await masters();
    for (const state of this.#states) {
      const members = this.#accepted.filter((accepted) => accepted.state === state);
      const intact = members.filter(
        ({ number }) => isNetns(this.#names.netnsPath(number)) && master.has(this.#names.veth(number)),
      );
      const broken = members.filter((member) => !intact.includes(member));
      const withoutNetns = broken.filter(({ number }) => !isNetns(this.#names.netnsPath(number)));
      // A half of it would be in the way of a whole one.
      await removeSlots(
        this.#names,
        withoutNetns.map(({ number }) => number),
      );
      await makeSlots(
        this.#names,
        state.wiring,
        broken.map((member) => ({
          number: member.number,
          ip: member.lease.ip,
          mac: member.lease.mac,
          existing: !withoutNetns.includes(member),
        })),
      );
      const veths = [...intact, ...state.pool.ready].map(({ number }) => this.#names.veth(number));
      await attachLinks(
        state.record.bridge,
        veths.filter((veth) => master.has(veth) && master.get(veth) !== state.record.bridge),
      );
    }
  }

  #registerNames(): void {
    for (const { nameServer, record } of this.#states) {
      const members = this.#accepted.filter(({ state }) => state.record.id === record.id);
      const ids = new Set(members.map(({ id }) => id));
      for (const id of nameServer.registered()) if (!ids.has(id)) nameServer.unregister(id);
      for (const { id, lease, names } of members) nameServer.register(id, lease.ip, names);
    }
  }
}

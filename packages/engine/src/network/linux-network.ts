/** Networks of this host out of bridges, netns, nftables and dnsmasq. Nothing of it needs the engine to be alive. */
import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { BulkheadError } from '@bulkhead/contract';
import type { Lease } from '../domain/instance.ts';
import type { PortMapping } from '../domain/task.ts';
import type { Clock } from '../ports/clock.ts';
import type { HostPaths } from '../ports/host.ts';
import type { NetworkProvider, NetworkRecord } from '../ports/network.ts';
import { deleteLinks, ownLinks } from './bridges.ts';
import { forgetSteered } from './conntrack.ts';
import { Firewall } from './firewall.ts';
import { HostNames, INSIDE_INTERFACE } from './host-names.ts';
import { formatSubnet } from './ipv4.ts';
import { checkNames, endNameServers } from './name-server.ts';
import { listNetns, removeSlots, type Slot } from './netns.ts';
import { NetworkRegistry } from './network-registry.ts';
import type { NetworkState } from './network-state.ts';
import { PublishedPorts } from './published-ports.ts';
import { type KnownLease, Reconciliation } from './reconciliation.ts';
import type { FirewallPort } from './ruleset.ts';
import { chooseSubnet, gatewayOf } from './subnets.ts';

export interface LinuxNetworkOptions {
  paths: HostPaths;
  clock?: Pick<Clock, 'now' | 'newId'>;
  /** Ready netns kept per network in use. */
  poolSize?: number;
  /** Names the resolvers of the outside; default /etc/resolv.conf. */
  resolvConf?: string;
  /** Told what is wrong but stops nothing, e.g. a port another program took while the engine was down. */
  warn?: (message: string) => void;
}

interface Member {
  id: string;
  state: NetworkState;
  lease: Lease;
  names: string[];
}

const REMOVE_DELAY_MS = 20;
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;

export class LinuxNetwork implements NetworkProvider {
  readonly #tag: string;
  readonly #clock: Pick<Clock, 'now' | 'newId'>;
  readonly #warn: (message: string) => void;
  readonly #names: HostNames;
  readonly #firewall: Firewall;
  readonly #ports = new PublishedPorts();
  readonly #networks: NetworkRegistry;
  /** By netns number. */
  readonly #members = new Map<number, Member>();
  readonly #removing = new Map<number, { state: NetworkState; ip: string; published: boolean }>();
  #remover: Promise<void> | undefined;
  #unpublishing: Promise<unknown> = Promise.resolve();

  constructor({ paths, clock, poolSize = 6, resolvConf, warn = () => {} }: LinuxNetworkOptions) {
    this.#tag = paths.tag;
    this.#clock = clock ?? { now: Date.now, newId: () => randomBytes(16).toString('hex') };
    this.#warn = warn;
    this.#names = new HostNames(paths.tag);
    this.#firewall = new Firewall(this.#names);
    this.#networks = new NetworkRegistry({ paths, names: this.#names, firewall: this.#firewall, poolSize, resolvConf });
  }

  async reconcile(networks: NetworkRecord[], leases: KnownLease[]): Promise<void> {
    await this.idle();
    const states = await this.#networks.become(networks);
    this.#members.clear();
    const work = new Reconciliation({
      names: this.#names,
      firewall: this.#firewall,
      root: this.#networks.root,
      states,
      ports: this.#ports,
    });
    for (const { lease, number, state, id, names } of work.accept(leases)) {
      this.#members.set(number, { id, state, lease, names });
      this.#networks.skipNumber(number);
    }
    await work.run(leases, this.#warn);
    const busy = new Set([...this.#members.values()].map(({ state }) => state));
    const oldest = states.toSorted((a, b) => a.record.createdAt - b.record.createdAt)[0];
    for (const state of states) if (busy.has(state) || state === oldest) state.pool.fill();
  }

  async create(request: {
    name: string;
    subnet?: string;
    internal: boolean;
    labels: Record<string, string>;
  }): Promise<NetworkRecord> {
    const { name, internal, labels } = request;
    if (!NAME.test(name))
      throw new BulkheadError('invalid_name', `${JSON.stringify(name.slice(0, 140))} is not a network name`);
    const known = await this.#networks.list();
    if (known.some(({ record }) => record.name === name)) {
      throw new BulkheadError('name_in_use', `there is a network named ${name} already`);
    }
    const taken = known.map(({ record, subnet }) => ({ subnet, text: `${record.subnet} of network ${record.name}` }));
    const subnet = await chooseSubnet(request.subnet, taken, this.#tag);
    const id = this.#clock.newId();
    const record: NetworkRecord = {
      id,
      name,
      subnet: formatSubnet(subnet),
      gateway: gatewayOf(subnet),
      bridge: this.#names.bridge(id),
      internal,
      labels,
      createdAt: this.#clock.now(),
    };
    const state = await this.#networks.get(record);
    state.pool.fill();
    return record;
  }

  async remove(network: NetworkRecord): Promise<void> {
    const user = [...this.#members.values()].find(({ state }) => state.record.id === network.id);
    if (user)
      throw new BulkheadError('in_use', `network ${network.name} is used by instance ${user.names[0] ?? user.id}`);
    const state = await this.#networks.get(network);
    this.#networks.forget(network.id);
    const slots = await state.pool.close();
    await this.idle();
    await state.discard(slots);
    await state.nameServer.stop();
    await deleteLinks([network.bridge]);
    await this.#firewall.removeNetwork(network.bridge);
  }

  async acquire(network: NetworkRecord, id: string, names: string[]): Promise<Lease> {
    const checked = checkNames(names);
    const state = await this.#networks.get(network);
    const slot = this.#leased(id) ?? state.pool.take() ?? (await state.pool.next());
    const lease: Lease = {
      network: network.name,
      netnsPath: this.#names.netnsPath(slot.number),
      interfaceName: INSIDE_INTERFACE,
      mac: slot.mac,
      ip: slot.ip,
      prefixLength: state.subnet.prefixLength,
      gateway: network.gateway,
      dnsServer: network.gateway,
    };
    this.#members.set(slot.number, { id, state, lease, names: checked });
    try {
      state.nameServer.register(id, lease.ip, checked);
    } catch (error) {
      await this.free(id, lease);
      throw error;
    }
    return lease;
  }

  async publish(id: string, lease: Lease, ports: PortMapping[]): Promise<PortMapping[]> {
    if (ports.length === 0) return [];
    const claimed = await this.#ports.claim(id, ports, (owner) => this.#nameOf(owner));
    try {
      await this.#firewall.addPorts(claimed.map((port) => firewallPort(port, lease)));
      return claimed;
    } catch (error) {
      this.#ports.release(id);
      throw error;
    }
  }

  async free(id: string, lease: Lease): Promise<void> {
    const number = this.#names.netnsNumber(lease.netnsPath);
    const member = number === undefined ? undefined : this.#members.get(number);
    if (number === undefined || member?.id !== id) return;
    this.#members.delete(number);
    member.state.nameServer.unregister(id);
    const ports = this.#ports.release(id).map((port) => firewallPort(port, lease));
    this.#removing.set(number, { state: member.state, ip: lease.ip, published: ports.length > 0 });
    // Queued at once, so that whoever publishes the port next comes after; nft's time is not the caller's.
    this.#unpublishing = Promise.allSettled([this.#unpublishing, this.#firewall.removePorts(ports)]);
    this.#remover ??= this.#removeAll().finally(() => {
      this.#remover = undefined;
    });
  }

  async rename(id: string, lease: Lease, names: string[]): Promise<void> {
    const checked = checkNames(names);
    const member = this.#members.get(this.#names.netnsNumber(lease.netnsPath) ?? -1);
    if (member?.id !== id) return;
    member.names = checked;
    member.state.nameServer.register(id, lease.ip, checked);
  }

  async counters(lease: Lease): Promise<{ receivedBytes: number; sentBytes: number }> {
    const number = this.#names.netnsNumber(lease.netnsPath);
    const directory = `/sys/class/net/${this.#names.veth(number ?? 0)}/statistics`;
    try {
      // Seen from the host's end: what it sent is what the instance received.
      const read = (name: string) => Number(readFileSync(`${directory}/${name}`, 'utf8'));
      return { receivedBytes: read('tx_bytes'), sentBytes: read('rx_bytes') };
    } catch {
      return { receivedBytes: 0, sentBytes: 0 };
    }
  }

  async destroyAll(): Promise<void> {
    for (const state of await this.#networks.list()) await state.pool.close();
    await this.idle();
    this.#networks.clear();
    this.#members.clear();
    this.#ports.retainOwners(new Set());
    await endNameServers(this.#networks.root, new Set());
    await removeSlots(this.#names, listNetns(this.#names));
    const { bridges, veths } = ownLinks(this.#names);
    await deleteLinks([...veths, ...bridges]);
    await this.#firewall.destroy();
    rmSync(this.#networks.root, { recursive: true, force: true });
  }

  /** Resolves when nothing given back is waiting to be removed any more. */
  async idle(): Promise<void> {
    while (this.#remover) await this.#remover;
  }

  /** The engine stops: what runs, runs on; the ready netns go. */
  async close(): Promise<void> {
    for (const state of await this.#networks.list()) await state.discard(await state.pool.close());
    await this.idle();
    this.#ports.retainOwners(new Set());
  }

  async #removeAll(): Promise<void> {
    await sleep(REMOVE_DELAY_MS); // Not in the caller's time, and those freed together go together.
    await this.#unpublishing;
    while (this.#removing.size > 0) {
      const batch = [...this.#removing];
      this.#removing.clear();
      const byState = Map.groupBy(batch, ([, { state }]) => state);
      for (const [state, entries] of byState) {
        // Its ports are withdrawn and its address is not free yet: nothing new is steered to it.
        forgetSteered(new Set(entries.filter(([, { published }]) => published).map(([, { ip }]) => ip)));
        await state.discard(entries.map(([number, { ip }]) => ({ number, ip })));
      }
    }
  }

  /** The one an instance has already, when it asks twice. */
  #leased(id: string): Slot | undefined {
    for (const [number, { id: holder, lease }] of this.#members)
      if (holder === id) return { number, ip: lease.ip, mac: lease.mac };
    return undefined;
  }

  #nameOf(id: string): string {
    for (const member of this.#members.values()) if (member.id === id) return member.names[0] ?? id.slice(0, 12);
    return id.slice(0, 12);
  }
}

function firewallPort({ protocol, hostIp, hostPort, port }: PortMapping, lease: Lease): FirewallPort {
  return { protocol, hostIp, hostPort, ip: lease.ip, port };
}

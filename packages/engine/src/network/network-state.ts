/** One network that is up: its addresses, its ready netns, its name server, and who is on it. */
import type { NetworkRecord } from '../ports/network.ts';
import { AddressPool } from './address-pool.ts';
import type { Firewall } from './firewall.ts';
import type { HostNames } from './host-names.ts';
import { macOf, parseSubnet, type Subnet } from './ipv4.ts';
import { NameServer } from './name-server.ts';
import { makeSlots, removeSlots, type Slot, type Wiring } from './netns.ts';
import { NetnsPool } from './netns-pool.ts';
import type { FirewallNetwork } from './ruleset.ts';

export interface NetworkStateOptions {
  record: NetworkRecord;
  names: HostNames;
  firewall: Firewall;
  /** `<run>/net`. */
  root: string;
  mtu: number;
  poolSize: number;
  nextNumber: () => number;
  resolvConf?: string | undefined;
}

export class NetworkState {
  readonly record: NetworkRecord;
  readonly subnet: Subnet;
  readonly addresses: AddressPool;
  readonly nameServer: NameServer;
  readonly pool: NetnsPool;
  readonly wiring: Wiring;
  readonly #names: HostNames;
  readonly #firewall: Firewall;
  readonly #nextNumber: () => number;
  /** Being made at this moment: not leftovers. */
  readonly making = new Set<Slot>();

  constructor({ record, names, firewall, root, mtu, poolSize, nextNumber, resolvConf }: NetworkStateOptions) {
    this.record = record;
    this.subnet = parseSubnet(record.subnet) ?? { base: 0, prefixLength: 32 };
    this.addresses = new AddressPool(this.subnet);
    this.addresses.reserve(record.gateway);
    this.nameServer = new NameServer(root, record, resolvConf);
    const { bridge, gateway } = record;
    this.wiring = { bridge, gateway, prefixLength: this.subnet.prefixLength, mtu };
    this.#names = names;
    this.#firewall = firewall;
    this.#nextNumber = nextNumber;
    this.pool = new NetnsPool(poolSize, (count) => this.#make(count));
  }

  get firewallNetwork(): FirewallNetwork {
    const { bridge, gateway, subnet, internal } = this.record;
    return { bridge, gateway, subnet, internal };
  }

  async #make(count: number): Promise<Slot[]> {
    const slots: Slot[] = [];
    try {
      for (let made = 0; made < count; made += 1) {
        const ip = this.addresses.take();
        slots.push({ number: this.#nextNumber(), ip, mac: macOf(ip) });
      }
    } catch (error) {
      if (slots.length === 0) throw error; // The last addresses of a full network are still worth having.
    }
    for (const slot of slots) this.making.add(slot);
    try {
      const members = slots.map(({ number, mac, ip }) => ({ veth: this.#names.veth(number), mac, ip }));
      await Promise.all([makeSlots(this.#names, this.wiring, slots), this.#firewall.addMembers(members)]);
      return slots;
    } catch (error) {
      await this.discard(slots);
      throw error;
    } finally {
      for (const slot of slots) this.making.delete(slot);
    }
  }

  /** Removes netns and all that names them; their addresses are free only after that. */
  async discard(slots: { number: number; ip: string }[]): Promise<void> {
    const numbers = slots.map(({ number }) => number);
    await removeSlots(this.#names, numbers);
    await this.#firewall.removeMembers(numbers.map((number) => this.#names.veth(number))).catch(() => {});
    for (const { ip } of slots) this.addresses.release(ip);
  }
}

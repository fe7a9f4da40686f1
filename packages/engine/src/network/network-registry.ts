/** The networks that are up, each brought up once however many ask for it at the same moment. */
import { chmodSync, mkdirSync, statSync } from 'node:fs';
import { BulkheadError } from '@bulkhead/contract';
import type { HostPaths } from '../ports/host.ts';
import type { NetworkRecord } from '../ports/network.ts';
import { deleteLinks, enableForwarding, ensureBridges } from './bridges.ts';
import type { Firewall } from './firewall.ts';
import type { HostNames } from './host-names.ts';
import { listNetns, uplinkMtu } from './netns.ts';
import { NetworkState } from './network-state.ts';

export interface NetworkRegistryOptions {
  paths: HostPaths;
  names: HostNames;
  firewall: Firewall;
  poolSize: number;
  resolvConf?: string | undefined;
}

export class NetworkRegistry {
  /** `<run>/net`: what name servers read. */
  readonly root: string;
  readonly #options: NetworkRegistryOptions;
  readonly #states = new Map<string, Promise<NetworkState>>();
  #host: Promise<{ mtu: number }> | undefined;
  #number = 0;

  constructor(options: NetworkRegistryOptions) {
    this.#options = options;
    this.root = `${options.paths.run}/net`;
  }

  /** Those that are up; one that failed to come up is not among them. */
  async list(): Promise<NetworkState[]> {
    const settled = await Promise.allSettled(this.#states.values());
    return settled.flatMap((state) => (state.status === 'fulfilled' ? [state.value] : []));
  }

  /** The network, brought up where it is not: firewall first, so that nothing is ever open. */
  get(record: NetworkRecord): Promise<NetworkState> {
    const present = this.#states.get(record.id);
    if (present) return present;
    const made = this.#bringUp(record);
    this.#states.set(record.id, made);
    made.catch(() => this.#states.delete(record.id));
    return made;
  }

  /** For reconciliation: exactly these, known from now on but not touched; what else was known stops making netns. */
  async become(records: NetworkRecord[]): Promise<NetworkState[]> {
    const { mtu } = await this.#prepareHost();
    const known = new Map((await this.list()).map((state) => [state.record.id, state]));
    const states = records.map((record) => known.get(record.id) ?? this.#make(record, mtu));
    this.#states.clear();
    for (const state of states) this.#states.set(state.record.id, Promise.resolve(state));
    for (const state of known.values()) if (!states.includes(state)) await state.pool.close();
    return states;
  }

  forget(id: string): void {
    this.#states.delete(id);
  }

  /** A number this host has not seen from this engine. */
  nextNumber(): number {
    this.#number += 1;
    return this.#number;
  }

  skipNumber(number: number): void {
    this.#number = Math.max(this.#number, number);
  }

  clear(): void {
    this.#states.clear();
    this.#host = undefined;
  }

  #make(record: NetworkRecord, mtu: number): NetworkState {
    const { names, firewall, poolSize, resolvConf } = this.#options;
    return new NetworkState({
      record,
      names,
      firewall,
      root: this.root,
      mtu,
      poolSize,
      resolvConf,
      nextNumber: () => this.nextNumber(),
    });
  }

  async #bringUp(record: NetworkRecord): Promise<NetworkState> {
    const { firewall } = this.#options;
    const { mtu } = await this.#prepareHost();
    const state = this.#make(record, mtu);
    await firewall.addNetwork(state.firewallNetwork);
    try {
      await ensureBridges([state.wiring]);
      await state.nameServer.start();
      return state;
    } catch (error) {
      await state.nameServer.stop();
      await deleteLinks([record.bridge]);
      await firewall.removeNetwork(record.bridge);
      throw error;
    }
  }

  #prepareHost(): Promise<{ mtu: number }> {
    this.#host ??= this.#prepare().catch((error) => {
      this.#host = undefined;
      throw error;
    });
    return this.#host;
  }

  async #prepare(): Promise<{ mtu: number }> {
    const { paths, names } = this.#options;
    mkdirSync(this.root, { recursive: true, mode: 0o755 });
    // dnsmasq walks through as another user; the sockets beside it have their own modes.
    chmodSync(paths.run, statSync(paths.run).mode | 0o011);
    try {
      enableForwarding(this.root);
    } catch (cause) {
      const message = `IPv4 forwarding cannot be turned on: ${(cause as Error).message}`;
      throw new BulkheadError('not_supported', message, { hint: 'Set net.ipv4.ip_forward=1 on this host.', cause });
    }
    for (const number of listNetns(names)) this.skipNumber(number);
    return { mtu: await uplinkMtu() };
  }
}

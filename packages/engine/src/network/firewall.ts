/** Keeps the nft tables of this engine equal to what it was told; changes that come together share one transaction. */
import { BulkheadError } from '@bulkhead/contract';
import { runCommand } from './command.ts';
import type { HostNames } from './host-names.ts';
import { type FirewallMember, type FirewallNetwork, type FirewallPort, Ruleset } from './ruleset.ts';

interface Model {
  networks: FirewallNetwork[];
  members: FirewallMember[];
  ports: FirewallPort[];
}

interface Pending {
  text: string;
  resolve: () => void;
  reject: (error: unknown) => void;
}

const NO_TABLE = /No such file or directory|does not exist/;

export class Firewall {
  readonly #rules: Ruleset;
  readonly #networks = new Map<string, FirewallNetwork>();
  readonly #members = new Map<string, FirewallMember>();
  readonly #ports = new Map<string, FirewallPort>();
  #pending: Pending[] = [];
  #running: Promise<void> | undefined;
  #ready: Promise<void> | undefined;
  /** Undefined until tried; false where this kernel has no nft family `bridge`. */
  #checksSenders: boolean | undefined;

  constructor(names: HostNames) {
    this.#rules = new Ruleset(names);
  }

  get checksSenders(): boolean {
    return this.#checksSenders === true;
  }

  /** The tables exist after this; what they held of a former engine is gone unless {@link replace} was told of it. */
  ensure(): Promise<void> {
    this.#ready ??= this.#load().catch((error) => {
      this.#ready = undefined;
      throw error;
    });
    return this.#ready;
  }

  /** Everything anew in one transaction; connections that exist are not disturbed, conntrack knows them. */
  async replace(model: Model): Promise<void> {
    await this.#running;
    this.#networks.clear();
    this.#members.clear();
    this.#ports.clear();
    for (const network of model.networks) this.#networks.set(network.bridge, network);
    for (const member of model.members) this.#members.set(member.veth, member);
    for (const port of model.ports) this.#ports.set(portKey(port), port);
    this.#ready = undefined;
    await this.ensure();
  }

  async addNetwork(network: FirewallNetwork): Promise<void> {
    await this.ensure();
    if (this.#networks.has(network.bridge)) return;
    this.#networks.set(network.bridge, network);
    await this.#change(this.#rules.network('add', network));
  }

  async removeNetwork(bridge: string): Promise<void> {
    const network = this.#networks.get(bridge);
    if (!network || !this.#networks.delete(bridge)) return;
    await this.#change(this.#rules.network('delete', network));
  }

  async addMembers(members: FirewallMember[]): Promise<void> {
    await this.ensure();
    const added = members.filter(({ veth }) => !this.#members.has(veth));
    for (const member of added) this.#members.set(member.veth, member);
    if (this.#checksSenders) await this.#change(added.map((member) => this.#rules.member('add', member)).join(''));
  }

  async removeMembers(veths: string[]): Promise<void> {
    const removed = veths.flatMap((veth) => this.#members.get(veth) ?? []);
    for (const { veth } of removed) this.#members.delete(veth);
    if (this.#checksSenders) await this.#change(removed.map((member) => this.#rules.member('delete', member)).join(''));
  }

  async addPorts(ports: FirewallPort[]): Promise<void> {
    await this.ensure();
    for (const port of ports) this.#ports.set(portKey(port), port);
    try {
      await this.#change(ports.map((port) => this.#rules.port('add', port)).join(''));
    } catch (error) {
      for (const port of ports) this.#ports.delete(portKey(port));
      throw error;
    }
  }

  async removePorts(ports: FirewallPort[]): Promise<void> {
    const removed = ports.filter((port) => this.#ports.delete(portKey(port)));
    await this.#change(removed.map((port) => this.#rules.port('delete', port)).join(''));
  }

  async destroy(): Promise<void> {
    await this.#running;
    this.#networks.clear();
    this.#members.clear();
    this.#ports.clear();
    this.#ready = undefined;
    for (const family of ['inet', 'bridge'] as const) await runCommand('nft', ['-f', '-'], this.#rules.fresh(family));
  }

  async #load(): Promise<void> {
    const inet = [
      this.#rules.inet(),
      ...[...this.#networks.values()].map((network) => this.#rules.network('add', network)),
      ...[...this.#ports.values()].map((port) => this.#rules.port('add', port)),
    ].join('');
    const members = [...this.#members.values()].map((member) => this.#rules.member('add', member)).join('');
    const bridge = this.#rules.bridge() + members;
    if ((await runCommand('nft', ['-f', '-'], inet + bridge)).code === 0) {
      this.#checksSenders = true;
      return;
    }
    const { code, stderr } = await runCommand('nft', ['-f', '-'], inet);
    if (code !== 0) throw refused(stderr);
    this.#checksSenders = false;
  }

  /** Queued in order; all that waits when nft is free goes in one run. */
  #change(text: string): Promise<void> {
    if (text === '') return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#pending.push({ text, resolve, reject });
      this.#running ??= this.#drain().finally(() => {
        this.#running = undefined;
      });
    });
  }

  async #drain(): Promise<void> {
    await Promise.resolve(); // Lets the callers of this very turn join.
    while (this.#pending.length > 0) {
      const batch = this.#pending.splice(0);
      const together = await runCommand('nft', ['-f', '-'], batch.map(({ text }) => text).join(''));
      if (together.code === 0) {
        for (const { resolve } of batch) resolve();
        continue;
      }
      for (const change of batch) await this.#single(change);
    }
  }

  async #single({ text, resolve, reject }: Pending): Promise<void> {
    const { code, stderr } = await runCommand('nft', ['-f', '-'], text);
    if (code === 0) return resolve();
    if (!NO_TABLE.test(stderr)) return reject(refused(stderr));
    // Someone flushed the ruleset: the model holds this change already, so loading it whole is the repair.
    await this.#load().then(resolve, reject);
  }
}

const portKey = ({ protocol, hostIp, hostPort }: FirewallPort): string => `${protocol} ${hostIp} ${hostPort}`;

function refused(stderr: string): BulkheadError {
  const words = stderr.trim().split('\n').slice(0, 3).join('; ');
  return new BulkheadError('not_supported', `the firewall of this host cannot be set up: ${words}`, {
    hint: 'Bulkhead needs nftables with nat, masquerade and fib in the kernel; run `bulkhead doctor`.',
  });
}

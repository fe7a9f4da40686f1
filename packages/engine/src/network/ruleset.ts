/** The firewall as text for `nft -f`: static rules over sets and maps, so that an instance is one element and never a rule. Pure. */
import type { HostNames } from './host-names.ts';

export interface FirewallNetwork {
  bridge: string;
  gateway: string;
  subnet: string;
  internal: boolean;
}

/** One instance's end on the bridge: the only source addresses it may use. */
export interface FirewallMember {
  veth: string;
  mac: string;
  ip: string;
}

export interface FirewallPort {
  protocol: 'tcp' | 'udp';
  hostIp: string;
  hostPort: number;
  ip: string;
  port: number;
}

/** Link-local, and where clouds answer with the machine's credentials: AWS and most, Azure, Alibaba, Oracle. */
const METADATA = '169.254.0.0/16, 168.63.129.16, 100.100.100.200, 192.0.0.192';

export const ANY_ADDRESS = '0.0.0.0';

type Change = 'add' | 'delete';

export class Ruleset {
  readonly #table: string;
  readonly #bridges: string;
  readonly #veths: string;

  constructor(names: HostNames) {
    this.#table = names.table;
    this.#bridges = `"${names.bridgePrefix}*"`;
    this.#veths = `"${names.vethPrefix}*"`;
  }

  /** Makes the table if need be and empties it, in the transaction of what follows: there is no moment without rules. */
  fresh(family: 'inet' | 'bridge'): string {
    return `table ${family} ${this.#table}\ndelete table ${family} ${this.#table}\n`;
  }

  inet(): string {
    const bridges = this.#bridges;
    return `${this.fresh('inet')}table inet ${this.#table} {
  set internal { type ifname; }
  set same { type ifname . ifname; }
  set neighbours { type ipv4_addr . ipv4_addr; flags interval; }
  set gateways { type ifname . ipv4_addr; }
  set routed { type ipv4_addr; flags interval; }
  set metadata { type ipv4_addr; flags interval; elements = { ${METADATA} } }
  map tcp_any { type inet_service : ipv4_addr . inet_service; }
  map udp_any { type inet_service : ipv4_addr . inet_service; }
  map tcp_one { type ipv4_addr . inet_service : ipv4_addr . inet_service; }
  map udp_one { type ipv4_addr . inet_service : ipv4_addr . inet_service; }
  chain published {
    iifname . ip daddr @gateways meta l4proto { tcp, udp } th dport 53 return
    dnat ip to ip daddr . tcp dport map @tcp_one
    dnat ip to tcp dport map @tcp_any
    dnat ip to ip daddr . udp dport map @udp_one
    dnat ip to udp dport map @udp_any
  }
  chain prerouting { type nat hook prerouting priority -100; policy accept; fib daddr type local jump published; }
  chain output { type nat hook output priority -100; policy accept; fib daddr type local jump published; }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    oifname ${bridges} ip saddr 127.0.0.0/8 masquerade
    ip saddr . ip daddr @neighbours ct status dnat masquerade
    ip saddr @routed oifname != ${bridges} masquerade
  }
  chain to_host {
    ct state established,related accept
    iifname . ip daddr @gateways meta l4proto { tcp, udp } th dport 53 accept
    counter drop
  }
  chain input { type filter hook input priority 0; policy accept; iifname ${bridges} jump to_host; }
  chain from_instance {
    meta nfproto ipv6 counter drop
    iifname . oifname @same accept
    ct state established,related accept
    ip daddr @metadata counter drop
    iifname @internal counter drop
    ct status dnat accept
    oifname ${bridges} counter drop
  }
  chain to_instance {
    ct state established,related accept
    ct status dnat accept
    counter drop
  }
  chain forward {
    type filter hook forward priority 0; policy accept;
    iifname ${bridges} jump from_instance
    oifname ${bridges} jump to_instance
  }
}
`;
  }

  /** Frames whose sender addresses are not those of the instance behind the port never reach the bridge. */
  bridge(): string {
    return `${this.fresh('bridge')}table bridge ${this.#table} {
  set members { type ifname . ether_addr . ipv4_addr; }
  chain from_member {
    iifname . ether saddr . ip saddr @members accept
    iifname . ether saddr . arp saddr ip @members iifname . arp saddr ether . arp saddr ip @members accept
    counter drop
  }
  chain prerouting { type filter hook prerouting priority -300; policy accept; iifname ${this.#veths} jump from_member; }
}
`;
  }

  network(change: Change, { bridge, gateway, subnet, internal }: FirewallNetwork): string {
    return [
      this.#element(change, 'inet', 'same', `"${bridge}" . "${bridge}"`),
      // By address: br_netfilter hides where a packet that turns round on the bridge came in.
      this.#element(change, 'inet', 'neighbours', `${subnet} . ${subnet}`),
      this.#element(change, 'inet', 'gateways', `"${bridge}" . ${gateway}`),
      internal
        ? this.#element(change, 'inet', 'internal', `"${bridge}"`)
        : this.#element(change, 'inet', 'routed', subnet),
    ].join('');
  }

  member(change: Change, { veth, mac, ip }: FirewallMember): string {
    return this.#element(change, 'bridge', 'members', `"${veth}" . ${mac} . ${ip}`);
  }

  port(change: Change, { protocol, hostIp, hostPort, ip, port }: FirewallPort): string {
    const map = `${protocol}_${hostIp === ANY_ADDRESS ? 'any' : 'one'}`;
    const key = hostIp === ANY_ADDRESS ? `${hostPort}` : `${hostIp} . ${hostPort}`;
    return this.#element(change, 'inet', map, change === 'add' ? `${key} : ${ip} . ${port}` : key);
  }

  #element(change: Change, family: string, set: string, element: string): string {
    return `${change} element ${family} ${this.#table} ${set} { ${element} }\n`;
  }
}

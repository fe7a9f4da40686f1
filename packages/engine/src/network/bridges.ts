/** The bridges of this engine, one per network, and the forwarding they need. It keeps no state. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mustRun, runCommand } from './command.ts';
import type { HostNames } from './host-names.ts';
import { macOf } from './ipv4.ts';
import { type Wiring, writeSysctl } from './netns.ts';

const FORWARDING = '/proc/sys/net/ipv4/ip_forward';

/** Idempotent: a bridge that is right already is not disturbed. */
export async function ensureBridges(wirings: Wiring[]): Promise<void> {
  if (wirings.length === 0) return;
  const present = new Set(interfaces());
  const lines = wirings.flatMap(({ bridge, gateway, prefixLength, mtu }) => [
    // A fixed MAC: by default a bridge takes on the lowest of its ports and changes with them.
    ...(present.has(bridge)
      ? []
      : [
          `link add name ${bridge} mtu ${mtu} address ${macOf(gateway)} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
        ]),
    `link set dev ${bridge} addrgenmode none`,
    `address replace ${gateway}/${prefixLength} broadcast + dev ${bridge}`,
    `link set dev ${bridge} up`,
  ]);
  await mustRun('ip', ['-batch', '-'], `${lines.join('\n')}\n`);
  for (const { bridge } of wirings) {
    writeSysctl(`net/ipv6/conf/${bridge}/disable_ipv6`, '1');
    // What is published on 127.0.0.1 leaves by the bridge and its answer comes back by it; the firewall drops the rest.
    writeSysctl(`net/ipv4/conf/${bridge}/route_localnet`, '1');
  }
}

/** Never fails on what is gone. */
export async function deleteLinks(links: string[]): Promise<void> {
  if (links.length === 0) return;
  await runCommand('ip', ['-force', '-batch', '-'], links.map((link) => `link delete dev ${link}\n`).join(''));
}

export async function attachLinks(bridge: string, links: string[]): Promise<void> {
  if (links.length === 0) return;
  await mustRun('ip', ['-batch', '-'], links.map((link) => `link set dev ${link} master ${bridge} up\n`).join(''));
}

/** Names of all interfaces of the host. */
export function interfaces(): string[] {
  return readdirSync('/sys/class/net');
}

/** Bridge an interface is a port of, by name. */
export async function masters(): Promise<Map<string, string | undefined>> {
  const links = JSON.parse((await mustRun('ip', ['-j', 'link', 'show'])) || '[]') as {
    ifname: string;
    master?: string;
  }[];
  return new Map(links.map(({ ifname, master }) => [ifname, master]));
}

export function ownLinks(names: HostNames): { bridges: string[]; veths: string[] } {
  const all = interfaces();
  return {
    bridges: all.filter((name) => name.startsWith(names.bridgePrefix)),
    veths: all.filter((name) => name.startsWith(names.vethPrefix)),
  };
}

const noteOf = (root: string): string => `${root}/ip_forward.before`;

/** Turns on IPv4 forwarding and notes below `root` that it was off, for `doctor`. Other programs may rely on it by the time we go: it stays on. */
export function enableForwarding(root: string): void {
  const before = readFileSync(FORWARDING, 'utf8').trim();
  mkdirSync(root, { recursive: true, mode: 0o755 });
  if (!existsSync(noteOf(root))) writeFileSync(noteOf(root), before);
  if (before !== '1') writeFileSync(FORWARDING, '1');
}

/** `now` and, where this engine knows it, `before` it first ran. */
export function forwarding(root?: string): { now: string; before: string | undefined } {
  const note = root === undefined ? undefined : noteOf(root);
  const before = note !== undefined && existsSync(note) ? readFileSync(note, 'utf8') : undefined;
  return { now: readFileSync(FORWARDING, 'utf8').trim(), before };
}

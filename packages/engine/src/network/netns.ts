/** Makes and removes the network namespaces of instances: a veth pair each, one end on the bridge. It keeps no state. */
import { readdirSync, statfsSync, writeFileSync } from 'node:fs';
import { mustRun, runCommand } from './command.ts';
import { type HostNames, INSIDE_INTERFACE, NETNS_DIRECTORY } from './host-names.ts';

/** What a ready netns is: everything else about it is computed. */
export interface Slot {
  number: number;
  ip: string;
  mac: string;
}

export interface Wiring {
  bridge: string;
  gateway: string;
  prefixLength: number;
  mtu: number;
}

const NSFS_MAGIC = 0x6e736673;

/**
 * First the host's side of all in one `ip` run, then each inside. `ip -batch` cannot write sysctls, so one shell does:
 * Docker's two (any port, ping without privilege), and no IPv6, for which there is neither a firewall nor a name.
 */
const FILL = `set -e
printf '%s\\n' "$1" | ip -batch -
while read -r path address gateway; do
  nsenter --net="$path" sh -ec '
    for f in all default lo; do
      d=/proc/sys/net/ipv6/conf/$f/disable_ipv6
      if [ -e $d ]; then echo 1 > $d; fi
    done
    echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
    echo "0 2147483647" > /proc/sys/net/ipv4/ping_group_range
    printf "link set dev lo up\\naddress replace %s broadcast + dev eth0\\nlink set dev eth0 up\\nroute replace default via %s dev eth0\\n" "$0" "$1" | ip -batch -
  ' "$address" "$gateway" </dev/null
done`;

/** True for a name below /run/netns that really is a namespace and not the empty file a crash left. */
export function isNetns(path: string): boolean {
  try {
    return statfsSync(path).type === NSFS_MAGIC;
  } catch {
    return false;
  }
}

/** Numbers of this engine's netns names on the host. */
export function listNetns(names: HostNames): number[] {
  try {
    return readdirSync(NETNS_DIRECTORY).flatMap((name) => names.netnsNumber(name) ?? []);
  } catch {
    return [];
  }
}

/** `existing`: the netns is there and only its pair is missing. */
export async function makeSlots(
  names: HostNames,
  wiring: Wiring,
  slots: (Slot & { existing?: boolean })[],
): Promise<void> {
  if (slots.length === 0) return;
  const { bridge, gateway, prefixLength, mtu } = wiring;
  const host = slots.flatMap(({ number, mac, existing }) => {
    const veth = names.veth(number);
    const netns = names.netns(number);
    const peer = `peer name ${INSIDE_INTERFACE} mtu ${mtu} address ${mac} netns ${netns}`;
    return [
      ...(existing ? [] : [`netns add ${netns}`]),
      `link add dev ${veth} mtu ${mtu} type veth ${peer}`,
      `link set dev ${veth} addrgenmode none`,
      `link set dev ${veth} master ${bridge} up`,
      // With br_netfilter an instance's packet to its own published port turns round on the bridge, not above it.
      `link set dev ${veth} type bridge_slave hairpin on`,
    ];
  });
  const inside = slots.map(({ number, ip }) => `${names.netnsPath(number)} ${ip}/${prefixLength} ${gateway}\n`);
  await mustRun('sh', ['-c', FILL, 'fill', host.join('\n')], inside.join(''));
}

/** The pair first: that cuts the instance off at once, whatever still holds the namespace. Never fails on what is gone. */
export async function removeSlots(names: HostNames, numbers: number[]): Promise<void> {
  if (numbers.length === 0) return;
  const veths = numbers.map((number) => names.veth(number));
  const lines = [
    // The kernel waits some 20 ms for each call that deletes links, however many: a group goes in one.
    ...(veths.length === 1
      ? [`link delete dev ${veths[0]}`]
      : [
          ...veths.map((veth) => `link set dev ${veth} group ${names.doomedGroup}`),
          `link delete group ${names.doomedGroup}`,
        ]),
    ...numbers.map((number) => `netns delete ${names.netns(number)}`),
  ];
  await runCommand('ip', ['-force', '-batch', '-'], `${lines.join('\n')}\n`);
}

/** The narrowest of the default routes, so that an instance's packets never need cutting on their way out. */
export async function uplinkMtu(): Promise<number> {
  const { stdout } = await runCommand('ip', ['-j', '-4', 'route', 'show', 'default']);
  const devices = (JSON.parse(stdout || '[]') as { dev?: string }[]).flatMap(({ dev }) => dev ?? []);
  if (devices.length === 0) return 1500;
  const links = JSON.parse((await runCommand('ip', ['-j', 'link', 'show'])).stdout || '[]') as {
    ifname: string;
    mtu: number;
  }[];
  return Math.min(1500, ...links.filter(({ ifname }) => devices.includes(ifname)).map(({ mtu }) => mtu));
}

/** Best effort: a sysctl this kernel lacks is not a reason to refuse a network. */
export function writeSysctl(path: string, value: string): void {
  try {
    writeFileSync(`/proc/sys/${path}`, value);
  } catch {}
}

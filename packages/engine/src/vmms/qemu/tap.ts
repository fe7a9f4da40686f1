/** A tap in the instance's own netns, mirrored with its veth by tc: the guest has the address that the rules know. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { BulkheadError } from '@bulkhead/contract';
import type { Lease } from '../../domain/instance.ts';

const run = promisify(execFile);

/** Words after `sh -ec`: $1 the uid that may open the tap, $2 the veth. The namespace answers nothing itself any more. */
const SCRIPT = `
# A start that was broken off may have left one.
ip link del tap0 2>/dev/null || true
mtu=$(ip -o link show dev "$2" | sed -n 's/.* mtu \\([0-9]*\\) .*/\\1/p')
ip tuntap add dev tap0 mode tap user "$1"
printf '%s\\n' "addr flush dev $2" "link set dev tap0 mtu \${mtu:-1500} up" | ip -batch -
tc qdisc del dev "$2" ingress 2>/dev/null || true
printf '%s\\n' \
  "qdisc add dev $2 ingress" 'qdisc add dev tap0 ingress' \
  "filter add dev $2 parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev tap0" \
  "filter add dev tap0 parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev $2" | tc -batch -
`;

export async function mirrorTap(lease: Lease, uid: number): Promise<void> {
  try {
    await run('nsenter', [`--net=${lease.netnsPath}`, 'sh', '-ec', SCRIPT, 'sh', String(uid), lease.interfaceName], {
      timeout: 10_000,
    });
  } catch (cause) {
    const words = (cause as { stderr?: string }).stderr?.trim() ?? String(cause);
    throw new BulkheadError('start_failed', `the virtual machine's network cannot be made: ${words}`, { cause });
  }
}

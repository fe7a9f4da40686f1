/** A tap in the instance's own netns, mirrored with its veth by tc: the guest has the address that the rules know. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { BulkheadError } from '@bulkhead/contract';
import type { Lease } from '../../domain/instance.ts';

const run = promisify(execFile);

/** Words after `sh -ec`: $1 the uid that may open the tap. The namespace answers nothing itself any more. */
const SCRIPT = `
ip tuntap add dev tap0 mode tap user "$1"
printf '%s\\n' 'addr flush dev eth0' "link set dev tap0 mtu $(cat /sys/class/net/eth0/mtu 2>/dev/null || echo 1500) up" | ip -batch -
printf '%s\\n' \
  'qdisc add dev eth0 ingress' 'qdisc add dev tap0 ingress' \
  'filter add dev eth0 parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev tap0' \
  'filter add dev tap0 parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev eth0' | tc -batch -
`;

export async function mirrorTap(lease: Lease, uid: number): Promise<void> {
  try {
    await run('nsenter', [`--net=${lease.netnsPath}`, 'sh', '-ec', SCRIPT, 'sh', String(uid)], { timeout: 10_000 });
  } catch (cause) {
    const words = (cause as { stderr?: string }).stderr?.trim() ?? String(cause);
    throw new BulkheadError('start_failed', `the virtual machine's network cannot be made: ${words}`, { cause });
  }
}

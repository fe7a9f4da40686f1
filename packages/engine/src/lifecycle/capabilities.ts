/** The capabilities a task ends with: Docker's default set, less the drops, plus the adds it may have. */
import { BulkheadError } from '@bulkhead/contract';

export const DEFAULT_CAPABILITIES: readonly string[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_MKNOD',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETFCAP',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_SYS_CHROOT',
  'CAP_KILL',
  'CAP_AUDIT_WRITE',
];

const OTHERS =
  'AUDIT_CONTROL AUDIT_READ BLOCK_SUSPEND BPF CHECKPOINT_RESTORE DAC_READ_SEARCH IPC_LOCK IPC_OWNER LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE NET_ADMIN NET_BROADCAST PERFMON SYSLOG SYS_ADMIN SYS_BOOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM';

const KNOWN = new Set([...DEFAULT_CAPABILITIES, ...OTHERS.split(' ').map((name) => `CAP_${name}`)]);

function normalise(name: string): string {
  const upper = name.toUpperCase();
  if (upper === 'ALL') return upper;
  const full = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
  if (!KNOWN.has(full)) throw new BulkheadError('invalid_request', `there is no capability ${JSON.stringify(name)}`);
  return full;
}

export interface CapabilityChoice {
  final: string[];
  /** Adds beyond the default set: each needs a grant. */
  beyond: string[];
}

export function chooseCapabilities(add: string[], drop: string[], privileged: boolean): CapabilityChoice {
  const adds = add.map(normalise);
  const drops = drop.map(normalise);
  const all = privileged || adds.includes('ALL');
  const chosen = new Set<string>(drops.includes('ALL') ? [] : all ? KNOWN : DEFAULT_CAPABILITIES);
  if (all && drops.includes('ALL')) for (const name of KNOWN) chosen.add(name);
  for (const name of drops) chosen.delete(name);
  for (const name of adds) if (name !== 'ALL') chosen.add(name);
  const final = [...chosen].sort();
  return { final, beyond: final.filter((name) => !DEFAULT_CAPABILITIES.includes(name)) };
}

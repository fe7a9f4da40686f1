/** What an instance finds in /etc/hosts and /etc/resolv.conf. */
import type { Lease } from '../domain/instance.ts';
import type { TaskSpec } from '../domain/task.ts';

const LOCAL = [
  '127.0.0.1\tlocalhost',
  '::1\tlocalhost ip6-localhost ip6-loopback',
  'fe00::\tip6-localnet',
  'ff00::\tip6-mcastprefix',
  'ff02::1\tip6-allnodes',
  'ff02::2\tip6-allrouters',
];

export function hostsFile(task: TaskSpec, hostname: string, lease: Lease | undefined): string {
  const lines = [...LOCAL];
  const own = task.domainname ? `${hostname}.${task.domainname} ${hostname}` : hostname;
  for (const entry of task.extraHosts) {
    const colon = entry.indexOf(':');
    const address = entry.slice(colon + 1);
    const resolved = address === 'host-gateway' ? lease?.gateway : address;
    if (resolved) lines.push(`${resolved}\t${entry.slice(0, colon)}`);
  }
  if (lease) lines.push(`${lease.ip}\t${own}`);
  return `${lines.join('\n')}\n`;
}

export function resolvConf(task: TaskSpec, lease: Lease | undefined): string {
  if (!lease) return '';
  const servers = task.dns.length > 0 ? task.dns : [lease.dnsServer];
  const lines = servers.map((server) => `nameserver ${server}`);
  if (task.dnsSearch.length > 0) lines.push(`search ${task.dnsSearch.join(' ')}`);
  lines.push('options ndots:0');
  return `${lines.join('\n')}\n`;
}

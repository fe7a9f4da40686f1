/** What `doctor` says about the network, found by use: it makes the things in a corner and takes them away again. */
import type { Check, HostPaths } from '../ports/host.ts';
import { forwarding } from './bridges.ts';
import { runCommand } from './command.ts';
import { HostNames } from './host-names.ts';
import { Ruleset } from './ruleset.ts';

interface Chain {
  family: string;
  table: string;
  name: string;
  hook?: string;
  policy?: string;
}

const firstLine = (text: string): string => text.trim().split('\n')[0] ?? '';

/** `paths` lets the line about forwarding say what it was before this engine. Never rejects. */
export async function networkChecks(paths?: HostPaths): Promise<Check[]> {
  const checks = [nftables(), senders(), links(), names(), forwards(paths), foreignDrop(paths)];
  return (await Promise.all(checks.map((check) => check.catch(broken)))).flat();
}

function broken(error: Error): Check {
  return { name: 'network', status: 'failed', found: error.message, means: 'a part of the network cannot be checked' };
}

/** A tag no data directory can have. */
const probeNames = (): HostNames => new HostNames(`chk${process.pid}`);

async function nftables(): Promise<Check> {
  const rules = new Ruleset(probeNames());
  const { code, stderr } = await runCommand('nft', ['-f', '-'], rules.inet());
  if (code === 0) await runCommand('nft', ['-f', '-'], rules.fresh('inet'));
  return {
    name: 'nftables',
    status: code === 0 ? 'ok' : 'failed',
    found: code === 0 ? 'the whole rule set loads' : firstLine(stderr),
    means: code === 0 ? 'networks are kept apart and ports can be published' : 'no instance can have a network',
    ...(code === 0 ? {} : { fix: 'Install nftables; the kernel needs nf_tables with nat, masquerade and fib (inet).' }),
  };
}

async function senders(): Promise<Check> {
  const rules = new Ruleset(probeNames());
  const { code, stderr } = await runCommand('nft', ['-f', '-'], rules.bridge());
  if (code === 0) await runCommand('nft', ['-f', '-'], rules.fresh('bridge'));
  return {
    name: 'anti-spoofing',
    status: code === 0 ? 'ok' : 'warning',
    found: code === 0 ? 'nftables filters on bridges' : firstLine(stderr),
    means:
      code === 0
        ? 'an instance can send only from its own MAC and IP address'
        : 'an instance can pretend to be another of the same network',
    ...(code === 0 ? {} : { fix: 'Use a kernel with CONFIG_NF_TABLES_BRIDGE.' }),
  };
}

async function links(): Promise<Check> {
  const bridge = `bhcb${process.pid}`;
  const veth = `bhcv${process.pid}`;
  const lines = [
    `link add name ${bridge} type bridge`,
    `link add dev ${veth} type veth peer name ${veth}p`,
    `link set dev ${veth} master ${bridge}`,
  ];
  const { code, stderr } = await runCommand('ip', ['-batch', '-'], `${lines.join('\n')}\n`);
  await runCommand('ip', ['-force', '-batch', '-'], `link delete dev ${veth}\nlink delete dev ${bridge}\n`);
  return {
    name: 'bridge and veth',
    status: code === 0 ? 'ok' : 'failed',
    found: code === 0 ? 'both can be made' : firstLine(stderr),
    means: code === 0 ? 'instances can have a network' : 'no instance can have a network',
    ...(code === 0 ? {} : { fix: 'Run as root, on a kernel with bridge and veth.' }),
  };
}

async function names(): Promise<Check> {
  const { code, stdout } = await runCommand('dnsmasq', ['--version']).catch(() => ({ code: 127, stdout: '' }));
  return {
    name: 'dnsmasq',
    status: code === 0 ? 'ok' : 'failed',
    found: code === 0 ? firstLine(stdout).replace(/\s+Copyright.*/, '') : 'not installed',
    means: code === 0 ? 'instances find each other by name' : 'no network can be brought up',
    ...(code === 0 ? {} : { fix: 'Install dnsmasq-base.' }),
  };
}

async function forwards(paths?: HostPaths): Promise<Check> {
  const { now, before } = forwarding(paths === undefined ? undefined : `${paths.run}/net`);
  const changed = before !== undefined && before !== now ? `, was ${before} before Bulkhead` : '';
  return {
    name: 'ip_forward',
    status: 'ok',
    found: `net.ipv4.ip_forward=${now}${changed}`,
    means:
      now === '1'
        ? 'instances reach the outside; this host also routes between its own networks unless its firewall says no'
        : 'it is turned on with the first network',
  };
}

/** Another table's drop at the same hook is final, whatever ours accepts. */
async function foreignDrop(paths?: HostPaths): Promise<Check> {
  const { stdout } = await runCommand('nft', ['-j', 'list', 'chains']);
  const listed = (JSON.parse(stdout || '{"nftables":[]}') as { nftables: { chain?: Chain }[] }).nftables;
  const dropping = listed.flatMap(({ chain }) =>
    chain?.hook === 'forward' && chain.policy === 'drop' && chain.family !== 'bridge' ? [chain] : [],
  );
  const legacy = await runCommand('iptables-legacy', ['-S', 'FORWARD']).catch(() => ({ stdout: '' }));
  const found = dropping.map(({ family, table, name }) => `table ${family} ${table}, chain ${name}`);
  if (legacy.stdout.includes('-P FORWARD DROP')) found.push('iptables-legacy FORWARD');
  const docker =
    found.length > 0 && (await runCommand('nft', ['list', 'chain', 'ip', 'filter', 'DOCKER-USER'])).code === 0;
  return {
    name: 'other firewalls',
    status: found.length === 0 ? 'ok' : 'warning',
    found: found.length === 0 ? 'none that drops what is forwarded' : `drops what is forwarded: ${found.join('; ')}`,
    means:
      found.length === 0
        ? 'nothing stands between instances and the outside'
        : 'instances do not reach the outside, and published ports are not reached from other machines',
    ...(found.length === 0 ? {} : { fix: allow(docker ? 'DOCKER-USER' : 'FORWARD', paths) }),
  };
}

/** In iptables' words, as nearly every such firewall is managed by it; `+` matches the rest of a name. */
function allow(chain: string, paths: HostPaths | undefined): string {
  const bridges = paths === undefined ? 'b<tag>n+' : `${new HostNames(paths.tag).bridgePrefix}+`;
  return `Allow the bridges: iptables -I ${chain} -i ${bridges} -j ACCEPT; iptables -I ${chain} -o ${bridges} -j ACCEPT.`;
}

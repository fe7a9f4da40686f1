import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { networkChecks } from '../../src/network/checks.ts';
import { bench, host } from './harness.ts';

test('every part of the network is checked by use and nothing stays of it', async (t) => {
  const { paths, create } = bench(t);
  await create('blue');
  const checks = await networkChecks(paths);
  const status = Object.fromEntries(checks.map((check) => [check.name, check.status]));
  for (const name of ['nftables', 'bridge and veth', 'dnsmasq', 'ip_forward']) assert.equal(status[name], 'ok', name);
  assert.match(checks.find(({ name }) => name === 'ip_forward')?.found ?? '', /net\.ipv4\.ip_forward=1/);
  assert.doesNotMatch((await host('nft', 'list', 'tables')).output, /chk/);
  assert.doesNotMatch((await host('ls', '/sys/class/net')).output, /^bhc/m);
});

test('a foreign firewall that drops what is forwarded is named with the way out', async (t) => {
  const { paths, directory } = bench(t);
  const table = `foreign${process.pid}`;
  t.after(() => host('nft', 'delete', 'table', 'inet', table));
  // A drop by policy that never drops: other engines on this host must not notice the test.
  const rules = join(directory, 'foreign.nft');
  const chain = 'type filter hook forward priority 300; policy drop; accept;';
  writeFileSync(rules, `table inet ${table} {\n chain foreign { ${chain} }\n}\n`);
  const loaded = await host('nft', '-f', rules);
  assert.equal(loaded.code, 0, loaded.output);
  const check = (await networkChecks(paths)).find(({ name }) => name === 'other firewalls');
  assert.equal(check?.status, 'warning');
  assert.match(check?.found ?? '', new RegExp(table));
  assert.match(check?.fix ?? '', new RegExp(`b${paths.tag}n`));
});

/** The schema for editors: current, takes every fixture, and has every key of the Compose Specification. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Compile } from 'typebox/compile';
import { parse } from 'yaml';
import { composeJsonSchema } from '../../src/compose/schema.ts';
import { SERVICE_KEYS } from '../../src/compose/schema-service.ts';
import { FIXTURES, fixture } from './project.ts';

const SCRIPT = path.resolve(import.meta.dirname, '../../../../scripts/compose-schema.ts');

/** Keys of a service in the Compose Specification. */
const SPECIFIED =
  'annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec depends_on deploy develop device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file environment expose extends external_links extra_hosts gpus group_add healthcheck hostname image init ipc isolation label_file labels links logging mac_address mem_limit mem_reservation mem_swappiness memswap_limit models network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports post_start pre_start pre_stop privileged profiles provider pull_policy pull_refresh_after read_only restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits use_api_socket user userns_mode uts volumes volumes_from working_dir';

test('docs/compose.schema.json is current, and the check would notice', (t) => {
  assert.equal(spawnSync(process.execPath, [SCRIPT, '--check']).status, 0, 'run: node scripts/compose-schema.ts');
  const folder = mkdtempSync(path.join(tmpdir(), 'bulkhead-schema-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(path.join(folder, 'stale.json'), '{}');
  assert.equal(spawnSync(process.execPath, [SCRIPT, '--check', path.join(folder, 'stale.json')]).status, 1);
});

test('an editor accepts what the engine accepts, and marks what it refuses', () => {
  const validator = Compile(composeJsonSchema() as never);
  for (const name of readdirSync(FIXTURES)) {
    for (const [file, text] of Object.entries(fixture(name))) {
      if (!/ya?ml$/.test(file) || text.includes('!')) continue;
      const value: unknown = JSON.parse(JSON.stringify(parse(text, { merge: true })));
      assert.ok(validator.Check(value), `${name}/${file}: ${JSON.stringify(validator.Errors(value).slice(0, 2))}`);
    }
  }
  for (const wrong of [
    { service: {} },
    { services: { web: { imag: 'x' } } },
    { services: { web: { pid: 'host' } } },
    { services: { web: { ports: '80' } } },
  ]) {
    assert.equal(validator.Check(wrong), false, JSON.stringify(wrong));
  }
});

test('every key of the Compose Specification is known: supported, or refused by name', () => {
  assert.deepEqual(
    SPECIFIED.split(' ').filter((key) => !Object.hasOwn(SERVICE_KEYS, key)),
    [],
  );
});

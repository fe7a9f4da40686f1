/** Compose files through the engine's own API and the policy that is shipped. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { ComposeRequest } from '@bulkhead/contract';
import { Client } from '@bulkhead/sdk';
import { FakeEngine } from '@bulkhead/testkit';
import { loadPolicy } from '../../src/policy/load.ts';
import { ROOT } from './project.ts';

async function engine(t: TestContext): Promise<Client> {
  const fake = new FakeEngine();
  t.after(() => fake.dispose());
  const policy = loadPolicy(undefined);
  fake.policy.explain = (task, image, levels) => policy.explain(task, image as never, levels);
  await fake.start();
  return new Client(fake.socket);
}

function request(text: string): ComposeRequest {
  return {
    files: { [`${ROOT}/compose.yaml`]: text, [`${ROOT}/.env`]: null },
    paths: [`${ROOT}/compose.yaml`],
    projectDirectory: ROOT,
    environment: {},
    profiles: [],
  };
}

const FILE = `services:
  web: {image: fake}
  agent:
    image: fake
    isolation: container
    x-bulkhead: {trust: untrusted}
  greedy: {image: fake, cpus: 4096}
`;

test('the engine asks for what it lacks, then answers with the app and no secret', async (t) => {
  const client = await engine(t);
  const body = request('services: {web: {image: fake, env_file: a.env, secrets: [pw]}}\nsecrets: {pw: {file: pw}}\n');
  const first = await client.resolveCompose(body);
  assert.deepEqual(first, { kind: 'needs', paths: [`${ROOT}/a.env`, `${ROOT}/pw`] });
  Object.assign(body.files, { [`${ROOT}/a.env`]: 'A=1', [`${ROOT}/pw`]: 'hunter2' });
  const second = await client.resolveCompose(body);
  assert.equal(second.kind, 'resolved');
  assert.doesNotMatch(JSON.stringify(second), /hunter2/);
});

test('a mistake is a 400 with its code and place', async (t) => {
  const client = await engine(t);
  await assert.rejects(client.resolveCompose(request('services:\n  web: {pid: host}\n')), {
    code: 'compose_unsupported',
    at: 'compose.yaml:2:9',
  });
});

test('explain goes through the policy: what it would refuse is named by rule and line, beside what it would run', async (t) => {
  const client = await engine(t);
  const answer = await client.explainCompose(request(FILE));
  assert.equal(answer.kind, 'explained');
  if (answer.kind !== 'explained') return;
  const [web, agent, greedy] = answer.services;
  assert.equal(web?.explanation.decision?.level, 'container');
  assert.equal(agent?.at, 'compose.yaml:3:3');
  assert.equal(agent?.explanation.refusal?.code, 'level_below_minimum');
  assert.equal(agent?.explanation.refusal?.at, 'compose.yaml:3:3');
  assert.match(
    agent?.explanation.refusal?.message ?? '',
    /untrusted-never-shares-the-kernel \(policy\/default\.yaml:\d+:\d+\)/,
  );
  assert.equal(greedy?.explanation.refusal?.code, 'invalid_limit');
  assert.equal(greedy?.explanation.refusal?.at, 'compose.yaml:7:3');
});

test('the schema for editors is served', async (t) => {
  const schema = (await (await engine(t)).composeSchema()) as { title: string };
  assert.equal(schema.title, 'Compose file for Bulkhead');
});

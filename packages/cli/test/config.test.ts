/** `config` and `explain` on Compose files: the real resolver behind the contract, the files on a real disk. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is Compose's own syntax.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ComposeRequest } from '@bulkhead/contract/types';
import { documentYaml } from '../../engine/src/compose/document.ts';
import { type ComposeResult, resolveCompose } from '../../engine/src/compose/resolve.ts';
import { bulkhead, FakeEngine } from './fake-engine.ts';

function resolve(body: unknown): ComposeResult {
  const request = body as ComposeRequest;
  return resolveCompose({ ...request, files: new Map(Object.entries(request.files)) });
}

/** An engine whose directory holds the files. */
async function project(t: TestContext, files: Record<string, string | Buffer>) {
  const engine = await FakeEngine.start(t, {
    resolveCompose: ({ body }) => {
      const result = resolve(body);
      if (result.kind === 'needs') return result;
      const { kind, app, document, warnings } = result;
      return { kind, app, document, warnings, yaml: documentYaml(document) };
    },
    explainCompose: ({ body }) => {
      const result = resolve(body);
      if (result.kind === 'needs') return result;
      const services = result.app.services.map(({ name, image }) => ({
        service: name,
        at: 'compose.yaml:2:3',
        explanation: {
          subject: image,
          facts: { task: { trust: 'untrusted' } },
          rules: [{ rule: 'r', source: 'p.yaml:1:1', condition: 'true', matched: true, minimum: 'gvisor' }],
          refusal: {
            code: 'level_below_minimum',
            message: 'container is weaker than gvisor',
            hint: 'Use gvisor.',
            at: 'compose.yaml:2:3',
          },
        },
      }));
      return { kind: 'explained', services, warnings: result.warnings };
    },
  });
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(engine.directory, name, '..'), { recursive: true });
    writeFileSync(join(engine.directory, name), content);
  }
  return engine;
}

const FILES = {
  'compose.yaml':
    'name: shop\nservices:\n  web: {image: "web:${TAG}", env_file: [app.env], secrets: [pw], volumes: ["data:/d"]}\n  db: {image: postgres, profiles: [db]}\nvolumes: {data: {}}\nsecrets: {pw: {file: pw.bin}}\n',
  'compose.override.yaml': 'services: {web: {init: true}}\n',
  '.env': 'TAG=3\n',
  'app.env': 'A=1\n',
  'pw.bin': Buffer.from([0xff, 0x00, 0x80]),
};

test('config finds the files, hands over what is asked for, and prints the resolved file', async (t) => {
  const engine = await project(t, FILES);
  const cwd = engine.directory;
  const { code, stdout } = await bulkhead(engine.socket, ['config'], { cwd });
  assert.equal(code, 0);
  assert.match(
    stdout.toString(),
    /^name: shop\nservices:\n {2}web:\n {4}environment:\n {6}A: "1"\n {4}image: web:3\n {4}init: true\n/,
  );
  assert.doesNotMatch(stdout.toString(), /db:/);
  const { files } = engine.called('resolveCompose').at(-1)!.body as ComposeRequest;
  assert.deepEqual(files[join(cwd, 'pw.bin')], { base64: '/wCA' });
  const below = join(cwd, 'deep/er');
  mkdirSync(below, { recursive: true });
  assert.equal(
    (await bulkhead(engine.socket, ['config', '--services', '--profile', 'db'], { cwd: below })).stdout.toString(),
    'web\ndb\n',
  );
  assert.equal((await bulkhead(engine.socket, ['config', '--images'], { cwd })).stdout.toString(), 'web:3\n');
  assert.equal((await bulkhead(engine.socket, ['config', '--volumes'], { cwd })).stdout.toString(), 'data\n');
  assert.equal((await bulkhead(engine.socket, ['config', '--profiles'], { cwd })).stdout.toString(), 'db\n');
  const json = await bulkhead(engine.socket, ['config', '--format', 'json', '-p', 'other'], { cwd });
  assert.equal(JSON.parse(json.stdout.toString()).name, 'other');
  assert.equal(
    (await bulkhead(engine.socket, ['config', '-q', '--env-file', 'app.env'], { cwd })).stdout.toString(),
    '',
  );
});

test('a mistake is told with file, line and column, and the way out; the exit code is 1', async (t) => {
  const engine = await project(t, { 'app/compose.yaml': 'services:\n  web: {imag: nginx}\n' });
  const cwd = engine.directory;
  const { code, stderr } = await bulkhead(engine.socket, ['config', '-f', 'app/compose.yaml'], { cwd });
  assert.equal(code, 1);
  assert.equal(
    stderr.split('\n')[0],
    'bulkhead: app/compose.yaml:2:9: there is no key "imag" in services.web; did you mean image?',
  );
  assert.match(stderr, /^hint: /m);
  const none = await bulkhead(engine.socket, ['config'], { cwd });
  assert.equal(none.code, 1);
  assert.match(none.stderr, /there is no Compose file in/);
  const missing = await bulkhead(engine.socket, ['config', '-f', 'no.yaml'], { cwd });
  assert.match(missing.stderr, /^bulkhead: no.yaml:1:1: there is no file no.yaml$/m);
  const directory = await bulkhead(engine.socket, ['config', '-f', 'app'], { cwd });
  assert.equal(directory.code, 1);
  assert.match(directory.stderr, /is not a file/);
});

test('explain of a Compose file shows every service, and ends with 125 where one is refused', async (t) => {
  const engine = await project(t, FILES);
  const { code, stdout } = await bulkhead(engine.socket, ['explain', 'compose.yaml'], { cwd: engine.directory });
  assert.equal(code, 125);
  assert.match(stdout.toString(), /^== web \(compose.yaml:2:3\)\nweb:3\n/);
  assert.match(stdout.toString(), /\* r \(p.yaml:1:1\) matches: at least gvisor/);
  assert.match(stdout.toString(), /Refused: container is weaker than gvisor/);
});

test('explain of a Compose file takes the flags of a project after it, each with its value', async (t) => {
  const engine = await project(t, { 'compose.yaml': 'services: {web: {image: "web:$TAG"}}\n', 'a.env': 'TAG=7\n' });
  const { code, stdout, stderr } = await bulkhead(
    engine.socket,
    ['explain', 'compose.yaml', '--env-file', 'a.env', '-p', 'mine', '--format', 'json'],
    { cwd: engine.directory },
  );
  assert.equal(stderr.toString(), '');
  assert.equal(code, 125);
  const services = JSON.parse(stdout.toString()) as { service: string; explanation: { subject: string } }[];
  assert.deepEqual(
    services.map(({ service, explanation }) => [service, explanation.subject]),
    [['web', 'web:7']],
  );
});

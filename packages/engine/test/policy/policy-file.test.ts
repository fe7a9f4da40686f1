/** The operator's file: what it may say, and where each mistake is. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { BulkheadError } from '@bulkhead/contract';
import type { CelPolicy } from '../../src/policy/cel-policy.ts';
import { parsePolicy } from '../../src/policy/document.ts';
import { FACTS, factEnvironment } from '../../src/policy/facts.ts';
import { loadPolicy } from '../../src/policy/load.ts';
import type { ImageRecord } from '../../src/ports/images.ts';
import { HOSTS, task } from './sample-task.ts';

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'bulkhead-policy-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function load(t: TestContext, text: string): CelPolicy {
  const file = path.join(folderOf(t), 'policy.yaml');
  writeFileSync(file, text);
  return loadPolicy(file);
}

const rule = (when: string, minimum = 'microvm'): string =>
  `version: 1\nrules:\n  - name: mine\n    when: ${when}\n    minimum: ${minimum}\n`;

const MISTAKES: [what: string, text: string, place: string, says: RegExp][] = [
  ['an empty file', '', '1:1', /empty/],
  ['no version', 'rules: []\n', '1:1', /version/],
  ['another version', 'version: 2\n', '1:10', /version/],
  ['an unknown key', 'version: 1\nrulez: []\n', '2:1', /"rulez"; did you mean rules\?/],
  ['a key twice', 'version: 1\nversion: 1\n', '2:1', /unique/i],
  ['broken YAML', 'version: 1\nrules: [\n', '3:1', /YAML/],
  ['a tab as indent', 'version: 1\nrules:\n\t- a\n', '3:1', /YAML/],
  ['rules that are no list', 'version: 1\nrules: 7\n', '2:8', /list/],
  ['a rule that is no mapping', 'version: 1\nrules:\n  - 7\n', '3:5', /KEY: VALUE/],
  ['an unknown key in a rule', `${rule('"true"')}    minimun: vm\n`, '6:5', /"minimun"; did you mean minimum\?/],
  ['a rule without condition', 'version: 1\nrules:\n  - name: mine\n    minimum: vm\n', '3:5', /when is missing/],
  ['a condition that is no text', rule('true'), '4:11', /when is not a text/],
  ['a wrong level', rule('task.privileged', 'gvizor'), '5:14', /"gvizor"; did you mean gvisor\?/],
  ['a level like nothing', rule('task.privileged', 'kubernetes'), '5:14', /levels are container, gvisor, microvm, vm/],
  ['a name with a space', rule('task.privileged').replace('mine', 'my rule'), '3:11', /my rule/],
  [
    'two rules of one name',
    `${rule('task.privileged')}  - name: mine\n    when: task.exposed\n    minimum: vm\n`,
    '6:11',
    /taken by .*:3:5/,
  ],
  [
    "a shipped rule's name",
    rule('task.privileged').replace('mine', 'powers-over-the-kernel'),
    '3:5',
    /taken by policy/,
  ],
  [
    'an unknown fact',
    rule('task.trst == "untrusted"'),
    '4:16',
    /task\.trst; did you mean task\.trust|trst; did you mean trust/,
  ],
  ['an unknown variable', rule('tsk.trust == "untrusted"'), '4:11', /tsk; did you mean task\?/],
  ['an unknown fact in has()', rule('"!has(task.trst)"'), '4:22', /trst/],
  ['the wrong type', rule('task.trust == 1'), '4:11', /string == int/],
  ['a condition that is not true or false', rule('task.trust'), '4:11', /string/],
  ['a condition cut short', rule('task.trust =='), '4:24', /EOF/],
  ['a mistake after escapes', rule('"task.trust == \\"a\\" && task.x"'), '4:40', /task\.x/],
  ['a mistake in single quotes', rule("'task.user == ''a'' || task.x'"), '4:39', /task\.x/],
  ['a mistake in the second line of a block', rule('|\n      task.exposed &&\n        task.x'), '6:14', /task\.x/],
  ['an alias', 'version: 1\nrules: &a []\ngrants: *a\n', '3:9', /alias/],
  ['a grant with an unknown key', 'version: 1\ngrants:\n  capabilites: []\n', '3:3', /did you mean capabilities\?/],
  ['a relative path', 'version: 1\ngrants:\n  bindPaths: [/srv, data]\n', '3:21', /absolute/],
  ['a boolean in words', 'version: 1\ngrants:\n  privileged: "yes"\n', '3:15', /true or false/],
];

describe('a mistake in the policy file', () => {
  for (const [what, text, place, says] of MISTAKES) {
    it(`${what} is named with its place`, (t) => {
      assert.throws(
        () => load(t, text),
        (error: BulkheadError) => {
          assert.equal(error.code, 'invalid_policy');
          assert.match(error.message, says);
          assert.equal(error.at?.split('policy.yaml:')[1], place, error.message);
          return true;
        },
      );
    });
  }

  it('a file that was named and is not there is refused', () => {
    assert.throws(() => loadPolicy('/nonexistent/policy.yaml'), { code: 'invalid_policy' });
  });
});

describe('the documentation', () => {
  it('shows policies that can be read, and every fact there is', () => {
    const root = path.resolve(import.meta.dirname, '../../../..');
    for (const name of ['docs/policy.md', 'README.md']) {
      const examples = [...readFileSync(path.join(root, name), 'utf8').matchAll(/```yaml\n(.*?)```/gs)];
      assert.ok(examples.length > 0, name);
      for (const [, text = ''] of examples) parsePolicy(name, text, factEnvironment());
    }
    const page = readFileSync(path.join(root, 'docs/policy.md'), 'utf8');
    for (const [owner, fields] of Object.entries(FACTS)) {
      for (const field of fields) assert.ok(page.includes(`\`${owner}.${field}\``), `${owner}.${field}`);
    }
  });
});

describe('any text at all', () => {
  const environment = factEnvironment();
  const VALID = `version: 1
rules:
  - name: mine
    when: |
      task.exposed && "x" in task.labels
    minimum: gvisor
    message: "why \\u0041"
grants: [{when: 'task.privileged', capabilities: [NET_ADMIN], bindPaths: ["/srv"], hostNetwork: false}]
`;

  function readable(text: string): boolean {
    try {
      parsePolicy('p.yaml', text, environment);
      return true;
    } catch (error) {
      assert.ok(error instanceof BulkheadError, `${error}\n${text.slice(0, 400)}`);
      assert.match(error.at ?? '', /^p\.yaml:\d+:\d+$/);
      return false;
    }
  }

  it('is read or refused with a place, however it was damaged', () => {
    assert.equal(readable(VALID), true);
    // A fixed sequence (numerical recipes' generator), so that a failure can be had again.
    let seed = 1;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return seed % below;
    };
    const PIECES = [
      '\n',
      '  ',
      '- ',
      ': ',
      '"',
      "'",
      '|',
      '>',
      '[',
      '{',
      '&a ',
      '*a',
      '!!x ',
      '\t',
      '#',
      '\0',
      '\u{1f6a2}',
      '? ',
      '---\n',
      '<<: ',
    ];
    for (let round = 0; round < 3000; round++) {
      let text = VALID;
      for (let cut = random(3); cut >= 0; cut--) {
        const at = random(text.length + 1);
        text = text.slice(0, at) + (PIECES[random(PIECES.length)] ?? '') + text.slice(at + random(4));
      }
      readable(text);
    }
  });

  it('does not overflow the stack or take long', () => {
    const began = performance.now();
    for (const bomb of [
      '['.repeat(200_000),
      '{a: '.repeat(200_000),
      `version: 1\nrules: ${'- '.repeat(100_000)}`,
      rule(`"${'('.repeat(100_000)}"`),
      rule(`"${'!'.repeat(100_000)}true"`),
      'x'.repeat(2 << 20),
    ]) {
      assert.equal(readable(bomb), false);
    }
    assert.ok(performance.now() - began < 10_000);
  });
});

describe('a policy file', () => {
  it('adds its rules to the shipped ones', (t) => {
    const policy = load(t, rule('image.registry == "plugins.example.com"'));
    assert.equal(
      policy.decide(task({ image: 'plugins.example.com/a/b:1' }), undefined, HOSTS.emulated).level,
      'microvm',
    );
    assert.equal(policy.decide(task(), undefined, HOSTS.emulated).level, 'container');
    assert.equal(policy.decide(task({ privileged: true }), undefined, HOSTS.emulated).level, 'gvisor');
  });

  it('may take the shipped rules away, but not that untrusted code gets a kernel of its own', (t) => {
    const policy = load(t, 'version: 1\ndefaultRules: false\n');
    assert.equal(policy.decide(task({ privileged: true }), undefined, HOSTS.kvm).level, 'container');
    assert.equal(policy.decide(task({ trust: 'untrusted' }), undefined, HOSTS.kvm).level, 'gvisor');
    assert.throws(() => policy.decide(task({ trust: 'untrusted' }), undefined, HOSTS.containersOnly), {
      code: 'level_unavailable',
    });
  });

  it('takes the strictest of the rules that match, and gives all of them as reasons', (t) => {
    const both = `${rule('task.exposed', 'gvisor')}  - name: labelled\n    when: '"risky" in task.labels'\n    minimum: microvm\n`;
    const decision = load(t, both).decide(
      task({ labels: { risky: '' }, ports: [{ hostIp: '', hostPort: 0, port: 80, protocol: 'tcp' }] }),
      undefined,
      HOSTS.emulated,
    );
    assert.equal(decision.level, 'microvm');
    assert.deepEqual(
      decision.reasons.map((reason) => reason.rule),
      ['mine', 'labelled'],
    );
    assert.match(decision.reasons[1]?.source ?? '', /policy\.yaml:6:5$/);
  });

  it('counts a rule whose condition has no answer', (t) => {
    const decision = load(t, rule(`'task.labels["tier"] == "risky"'`)).decide(task(), undefined, HOSTS.emulated);
    assert.equal(decision.level, 'microvm');
    assert.match(decision.reasons[0]?.message ?? '', /no answer/);
  });

  it('sees ports as numbers', (t) => {
    const policy = load(t, rule('task.ports.exists(p, p.port < 1024)'));
    const ports = [{ hostIp: '', hostPort: 8080, port: 80, protocol: 'tcp' as const }];
    assert.equal(policy.decide(task({ ports }), undefined, HOSTS.emulated).level, 'microvm');
  });

  const NAMES: [reference: string, registry: string, repository: string, tag: string, pinned: boolean][] = [
    ['alpine', 'docker.io', 'library/alpine', 'latest', false],
    ['a/b:1', 'docker.io', 'a/b', '1', false],
    ['localhost/x', 'localhost', 'x', 'latest', false],
    ['127.0.0.1:5000/x/y:2', '127.0.0.1:5000', 'x/y', '2', false],
    [`r.example/x@sha256:${'a'.repeat(64)}`, 'r.example', 'x', '', true],
    [`sha256:${'a'.repeat(64)}`, '', '', '', false],
    ['oci-archive:/tmp/x.tar', '', '', '', false],
  ];
  for (const [reference, registry, repository, tag, digestPinned] of NAMES) {
    it(`takes ${reference.slice(0, 40)} apart`, (t) => {
      const { facts } = load(t, 'version: 1\n').explain(task({ image: reference }), undefined, HOSTS.kvm);
      const image = (facts as { image: Record<string, unknown> }).image;
      assert.deepEqual(image, { reference, registry, repository, tag, digestPinned, pulledFrom: [] });
    });
  }

  it('knows where an image came from, whatever name it was given since', (t) => {
    const policy = load(t, rule('image.pulledFrom.exists(name, name.startsWith("evil.example/"))'));
    const image = { id: 'sha256:ab', repoDigests: ['evil.example/x@sha256:00'] } as unknown as ImageRecord;
    assert.equal(policy.decide(task({ image: 'good.example/x' }), image, HOSTS.emulated).level, 'microvm');
  });
});

describe('grants', () => {
  const GRANTS = 'version: 1\ngrants:\n  capabilities: [net_admin]\n  bindPaths: [/srv/data]\n  devices: [/dev/fuse]\n';

  it('give what they name and nothing beside it, to trusted tasks', (t) => {
    const policy = load(t, GRANTS);
    assert.equal(policy.grants(task(), { kind: 'capability', name: 'CAP_NET_ADMIN' }), true);
    assert.equal(policy.grants(task(), { kind: 'capability', name: 'CAP_SYS_ADMIN' }), false);
    assert.equal(policy.grants(task(), { kind: 'bind', path: '/srv/data/a' }), true);
    assert.equal(policy.grants(task(), { kind: 'bind', path: '/srv/database' }), false);
    assert.equal(policy.grants(task(), { kind: 'bind', path: '/srv' }), false);
    assert.equal(policy.grants(task(), { kind: 'device', path: '/dev/fuse:/dev/fuse:rw' }), true);
    assert.equal(policy.grants(task(), { kind: 'device', path: '/dev/kvm' }), false);
    assert.equal(policy.grants(task(), { kind: 'host-network' }), false);
    assert.equal(policy.grants(task({ trust: 'untrusted' }), { kind: 'capability', name: 'CAP_NET_ADMIN' }), false);
  });

  it('with a condition go to the tasks it is true for, and to none in doubt', (t) => {
    const policy = load(t, `version: 1\ngrants:\n  - when: 'task.labels["role"] == "vpn"'\n    hostNetwork: true\n`);
    assert.equal(policy.grants(task({ labels: { role: 'vpn' }, trust: 'untrusted' }), { kind: 'host-network' }), true);
    assert.equal(policy.grants(task(), { kind: 'host-network' }), false);
  });

  it('of a linked path mean what it leads to', (t) => {
    const folder = folderOf(t);
    mkdirSync(path.join(folder, 'real'));
    symlinkSync(path.join(folder, 'real'), path.join(folder, 'link'));
    const policy = load(t, `version: 1\ngrants:\n  bindPaths: [${folder}/link]\n`);
    assert.equal(policy.grants(task(), { kind: 'bind', path: path.join(folder, 'real', 'x') }), true);
  });
});

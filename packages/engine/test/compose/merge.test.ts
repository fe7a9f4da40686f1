/** The rules of merging, and what must hold of any two files. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Options, ROOT, resolve } from './project.ts';

type Plain = Record<string, unknown>;

/** The keys of service `web` after merging two files that each give it these. */
function merged(base: string, over: string, options: Options = {}): Plain {
  const file = (body: string) =>
    `services:\n  web:\n    image: nginx\n${body
      .split('\n')
      .map((line) => `    ${line}`)
      .join('\n')}\nvolumes: {a: {}, b: {}}\n`;
  const { document } = resolve(
    { 'a.yaml': file(base), 'b.yaml': file(over) },
    { paths: [`${ROOT}/a.yaml`, `${ROOT}/b.yaml`], ...options },
  );
  return (document.services as Record<string, Plain>).web!;
}

describe('two files', () => {
  const table: [string, string, string, string, unknown][] = [
    ['a single value is replaced', 'user: a', 'user: b', 'user', 'b'],
    ['a mapping grows', 'labels: {a: "1", b: "2"}', 'labels: {b: "3", c: "4"}', 'labels', { a: '1', b: '3', c: '4' }],
    [
      'a mapping and a list of pairs are one',
      'environment: {A: "1"}',
      'environment: [A=2, B=3]',
      'environment',
      { A: '2', B: '3' },
    ],
    ['a command is replaced', 'command: [a, b]', 'command: c', 'command', ['c']],
    ['an entrypoint is replaced', 'entrypoint: [a, b]', 'entrypoint: [c]', 'entrypoint', ['c']],
    [
      'a health test is replaced, its times stay',
      'healthcheck: {test: [CMD, a], interval: 5s}',
      'healthcheck: {test: [CMD, b]}',
      'healthcheck',
      { test: ['CMD', 'b'], interval: '5s' },
    ],
    ['lists are joined, each item once', 'group_add: [a, b]', 'group_add: [b, c]', 'group_add', ['a', 'b', 'c']],
    ['a text and a list are one', 'dns: 1.1.1.1', 'dns: [8.8.8.8]', 'dns', ['1.1.1.1', '8.8.8.8']],
    ['exposed ports are one by number', 'expose: [80]', 'expose: ["80", 81]', 'expose', ['80', '81']],
    [
      'another log driver takes its options with it',
      'logging: {driver: json-file, options: {max-file: "2"}}',
      'logging: {driver: local}',
      'logging',
      { driver: 'local' },
    ],
    [
      'the same log driver keeps them',
      'logging: {driver: local, options: {max-file: "2"}}',
      'logging: {driver: local, options: {max-size: 1m}}',
      'logging',
      { driver: 'local', options: { 'max-file': '2', 'max-size': '1m' } },
    ],
    ['!reset takes a value away', 'user: a', 'user: !reset null', 'user', undefined],
    ['!reset takes a list away', 'group_add: [a]', 'group_add: !reset []', 'group_add', undefined],
    [
      '!reset of one key of a mapping',
      'environment: {A: "1", B: "2"}',
      'environment: {A: !reset null}',
      'environment',
      { B: '2' },
    ],
    ['!override replaces a list', 'group_add: [a]', 'group_add: !override [b]', 'group_add', ['b']],
    ['!override replaces a mapping', 'labels: {a: "1"}', 'labels: !override {b: "2"}', 'labels', { b: '2' }],
    ['a key without a value changes nothing', 'labels: {a: "1"}', 'labels:', 'labels', { a: '1' }],
  ];
  for (const [name, base, over, key, expected] of table)
    it(name, () => assert.deepEqual(merged(base, over)[key], expected));

  it('ports are one by address, port and protocol', () => {
    const ports = merged(
      'ports: ["127.0.0.2:80:80", "53:53/udp"]',
      'ports: ["127.0.0.2:80:80", "53:53/tcp", "127.0.0.1:80:80"]',
    ).ports as Plain[];
    assert.deepEqual(
      ports.map((one) => `${one.host_ip ?? ''}:${one.published}:${one.target}/${one.protocol}`),
      ['127.0.0.2:80:80/tcp', ':53:53/udp', ':53:53/tcp', '127.0.0.1:80:80/tcp'],
    );
  });

  it('volumes are one by target, and another kind replaces the whole item', () => {
    const volumes = merged(
      'volumes: ["a:/x", "b:/y"]',
      'volumes: ["./z:/x/", {type: volume, source: a, target: /y, read_only: true}]',
    ).volumes as Plain[];
    assert.deepEqual(
      volumes.map(({ type, source, target, read_only }) => [type, source, target, read_only]),
      [
        ['bind', `${ROOT}/z`, '/x/', undefined],
        ['volume', 'a', '/y', true],
      ],
    );
  });

  it('a list over a mapping is refused at its place', () => {
    assert.throws(() => merged('ulimits: {nofile: {soft: 1, hard: 2}}', 'ulimits: {nofile: 5}'), {
      at: 'b.yaml:4:23',
      message: 'services.web.ulimits.nofile is a single value here and a mapping at a.yaml:4:23',
    });
  });
});

describe('any files', () => {
  const bodies = [
    'user: a\ncap_add: [NET_ADMIN]',
    'environment: [X=1, Y=2]\nports: ["80:80"]',
    'labels: {a: "1"}\nvolumes: ["a:/x"]',
    'command: a b\nlogging: {driver: local}',
    'environment: {X: "9"}\nports: ["81:81"]\nvolumes: ["./b:/x"]',
    'deploy: {replicas: 3, resources: {limits: {cpus: "1"}}}\nexpose: [1]',
  ];
  it('a file over itself is itself', () => {
    for (const body of bodies) assert.deepEqual(merged(body, body), merged(body, ''));
  });
  it('an empty file changes nothing, whichever comes first', () => {
    for (const body of bodies) assert.deepEqual(merged('', body), merged(body, ''));
  });
  it('files merge from the left: (a, b), then c is a, then (b, c)', () => {
    const file = (body: string) =>
      `services:\n  web:\n    image: nginx\n${body
        .split('\n')
        .map((line) => `    ${line}`)
        .join('\n')}\nvolumes: {a: {}}\n`;
    const together = (...list: string[]): Plain => {
      const files = Object.fromEntries(list.map((text, index) => [`${index}.yaml`, text]));
      return resolve(files, { paths: list.map((_, index) => `${ROOT}/${index}.yaml`) }).document;
    };
    for (const a of bodies)
      for (const b of bodies)
        for (const c of bodies) {
          const ab = JSON.stringify(together(file(a), file(b)));
          const bc = JSON.stringify(together(file(b), file(c)));
          assert.deepEqual(together(ab, file(c)), together(file(a), bc), `${a} | ${b} | ${c}`);
        }
  });
});

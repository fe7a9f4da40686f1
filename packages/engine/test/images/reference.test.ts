/** Image references as users write them. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { exactName, isLoopback, parseName, parseSource, tagOf } from '../../src/images/reference.ts';

const digest = `sha256:${'a'.repeat(64)}`;

test('short names are made whole', () => {
  const cases: [string, string][] = [
    ['alpine', 'docker.io/library/alpine:latest'],
    ['alpine:3', 'docker.io/library/alpine:3'],
    ['team/app', 'docker.io/team/app:latest'],
    ['index.docker.io/alpine', 'docker.io/library/alpine:latest'],
    ['localhost/app:x', 'localhost/app:x'],
    ['localhost:5000/app', 'localhost:5000/app:latest'],
    ['127.0.0.1:5000/a/b_c/d--e:T.1', '127.0.0.1:5000/a/b_c/d--e:T.1'],
    ['[::1]:5000/app', '[::1]:5000/app:latest'],
    [`alpine@${digest}`, `docker.io/library/alpine@${digest}`],
    [`alpine:3@${digest}`, `docker.io/library/alpine@${digest}`],
  ];
  for (const [written, whole] of cases) assert.equal(exactName(parseName(written)), whole);
  assert.equal(tagOf(parseName(`alpine:3@${digest}`)), undefined);
});

test('malformed references are refused with what is wrong', () => {
  const cases: [string, RegExp][] = [
    ['', /empty/],
    ['Alpine', /lower case/],
    ['a//b', /part of the name is empty/],
    ['a:', /tag ""/],
    ['a:b c', /tag/],
    [`a:${'x'.repeat(129)}`, /tag/],
    ['a@sha256:123', /64 lower-case/],
    ['a@b@c', /more than one @/],
    ['../../etc', /not a registry|characters/],
    ['a\nb', /characters/],
    ['a\u001b[31m', /characters/],
    ['host:99999/a', /port/],
    ['-x', /characters/],
    ['x'.repeat(300), /longer than 255/],
    ['oci:', /nothing follows/],
  ];
  for (const [written, expected] of cases) {
    assert.throws(
      () => parseSource(written),
      (error: Error & { code: string }) => {
        assert.equal(error.code, 'invalid_reference', written);
        assert.match(error.message, expected, written);
        return true;
      },
    );
  }
});

test('transports are told apart and loopback registries are known', () => {
  assert.deepEqual(parseSource('docker-archive:/a/b.tar'), { transport: 'docker-archive', location: '/a/b.tar' });
  assert.equal(parseSource('docker://alpine').transport, 'docker');
  for (const local of ['127.0.0.1:5000', '127.9.9.9', 'localhost', 'localhost:1', '[::1]:5000'])
    assert.ok(isLoopback(local), local);
  for (const remote of ['docker.io', '127.0.0.1.example.com', 'localhost.example.com', '10.0.0.1:5000'])
    assert.ok(!isLoopback(remote), remote);
});

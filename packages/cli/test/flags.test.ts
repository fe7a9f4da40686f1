/** The flag parser keeps Docker's conventions. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Flag } from '../src/command.ts';
import { nearest, parseFlags } from '../src/flags.ts';

const FLAGS: Flag[] = [
  { name: 'interactive', short: 'i', kind: 'switch', meaning: '' },
  { name: 'tty', short: 't', kind: 'switch', meaning: '' },
  { name: 'detach', short: 'd', kind: 'switch', meaning: '' },
  { name: 'publish', short: 'p', kind: 'list', meaning: '' },
  { name: 'name', kind: 'text', meaning: '' },
  { name: 'hostname', short: 'h', kind: 'text', meaning: '' },
  { name: 'isolation', kind: 'text', choices: ['container', 'microvm'], meaning: '' },
];

const parse = (line: string, stop = false) => {
  const { flags, args } = parseFlags(line === '' ? [] : line.split(' '), FLAGS, stop);
  const on = FLAGS.filter((flag) => flag.kind === 'switch' && flags.on(flag.name)).map((flag) => flag.short);
  return {
    on: on.join(''),
    publish: flags.list('publish'),
    name: flags.text('name'),
    host: flags.text('hostname'),
    args,
  };
};
const none = { on: '', publish: [], name: undefined, host: undefined, args: [] };

const ACCEPTED: [string, boolean, Partial<ReturnType<typeof parse>>][] = [
  ['', false, {}],
  ['-itd', false, { on: 'itd' }],
  ['-i -t', false, { on: 'it' }],
  ['-itp 80:80', false, { on: 'it', publish: ['80:80'] }],
  [
    '-p80:80 -p=81:81 -p 82:82 --publish 83:83 --publish=84:84',
    false,
    { publish: ['80:80', '81:81', '82:82', '83:83', '84:84'] },
  ],
  ['--name=a --name b', false, { name: 'b' }],
  ['--name= x', false, { name: '', args: ['x'] }],
  ['--name=a=b', false, { name: 'a=b' }],
  ['--name -x', false, { name: '-x' }],
  ['-h box', false, { host: 'box' }],
  ['--detach=false -t=true', false, { on: 't' }],
  ['a -d b', false, { on: 'd', args: ['a', 'b'] }],
  ['-d image -d --name x', true, { on: 'd', args: ['image', '-d', '--name', 'x'] }],
  ['-- -d --name', false, { args: ['-d', '--name'] }],
  ['-d -- -i', true, { on: 'd', args: ['-i'] }],
  ['- x', false, { args: ['-', 'x'] }],
  ['image -- x', true, { args: ['image', '--', 'x'] }],
];
for (const [line, stop, expected] of ACCEPTED)
  test(`accepts \`${line}\`${stop ? ', stopping at the first argument' : ''}`, () => {
    assert.deepEqual(parse(line, stop), { ...none, ...expected });
  });

const REFUSED: [string, RegExp, RegExp?][] = [
  ['--detatch', /^unknown flag: --detatch$/, /--detach\b/],
  ['--nmae=x', /^unknown flag: --nmae$/, /--name\b/],
  ['--quite-other', /^unknown flag: --quite-other$/],
  ['-itx', /^unknown shorthand flag: 'x' in -itx$/],
  ['--name', /^flag needs an argument: --name$/],
  ['-p', /^flag needs an argument: -p$/],
  ['-dp', /^flag needs an argument: -p$/],
  ['--tty=maybe', /^invalid value "maybe" for --tty/],
  ['--isolation jail', /^invalid value "jail" for --isolation$/, /container or microvm/],
];
for (const [line, message, hint] of REFUSED)
  test(`refuses \`${line}\``, () => {
    assert.throws(
      () => parse(line),
      (error: { message: string; hint: string }) => message.test(error.message) && (hint?.test(error.hint) ?? true),
    );
  });

test('suggests what is near and nothing that is not', () => {
  assert.equal(nearest('isnpect', ['inspect', 'images']), 'inspect');
  assert.equal(nearest('pss', ['ps', 'push']), 'ps');
  assert.equal(nearest('frobnicate', ['ps', 'push']), undefined);
});

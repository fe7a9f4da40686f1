/** Variables in Compose text, against the Specification's table and against texts made at random. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is Compose's own syntax.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseEnvironmentFile } from '../../src/compose/env-file.ts';
import { interpolate } from '../../src/compose/interpolation.ts';
import { mistakeOf, resolveText } from './project.ts';

const VARIABLES = { SET: 'value', EMPTY: '', OTHER: 'other', NAME: 'SET' };

function run(text: string, variables: Record<string, string> = VARIABLES): string {
  const fail = (index: number, message: string): never => {
    throw new Error(`${index}: ${message}`);
  };
  return interpolate(text, { variables, fail, unset: () => undefined });
}

/** Mulberry32: the same texts at every run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe('variables', () => {
  const table: [string, string][] = [
    ['plain', 'plain'],
    ['$SET', 'value'],
    ['${SET}', 'value'],
    ['$SET-x', 'value-x'],
    ['${SET}x', 'valuex'],
    ['$UNSET|', '|'],
    ['$$', '$'],
    ['$$SET', '$SET'],
    ['$$$SET', '$value'],
    ['$${SET}', '${SET}'],
    ['${SET:-d}', 'value'],
    ['${EMPTY:-d}', 'd'],
    ['${EMPTY-d}', ''],
    ['${UNSET:-d}', 'd'],
    ['${UNSET-d}', 'd'],
    ['${UNSET-}', ''],
    ['${SET:+r}', 'r'],
    ['${EMPTY:+r}', ''],
    ['${EMPTY+r}', 'r'],
    ['${UNSET+r}', ''],
    ['${SET:?e}', 'value'],
    ['${EMPTY?e}', ''],
    ['${UNSET:-${OTHER}}', 'other'],
    ['${UNSET:-${EMPTY:-${SET}}}', 'value'],
    ['${SET:-${MISSING:?never asked}}', 'value'],
    ['${UNSET:-http://a:80/?q=1}', 'http://a:80/?q=1'],
    ['${UNSET:-$$5}', '$5'],
    ['a${SET}b${OTHER}c', 'avaluebotherc'],
  ];
  for (const [text, expected] of table)
    it(`${text} is ${JSON.stringify(expected)}`, () => assert.equal(run(text), expected));

  const wrong: [string, string][] = [
    ['$', '0: "$" begins no variable'],
    ['a $1', '2: "$1" begins no variable'],
    ['${}', '0: after ${ comes the name of a variable'],
    ['x${SET', '1: the brace of ${ is not closed'],
    ['${UNSET:-${SET}', '0: the brace of ${ is not closed'],
    ['${SET!x}', '5: "!" cannot follow the name SET here'],
    ['${SET:x}', '5: ":" cannot follow the name SET here'],
    ['${UNSET?}', '0: the variable UNSET is not set'],
    ['${EMPTY:?why}', '0: the variable EMPTY is empty: why'],
    ['${UNSET:-${EMPTY:?inner}}', '9: the variable EMPTY is empty: inner'],
  ];
  for (const [text, expected] of wrong)
    it(`${text} is refused`, () => assert.throws(() => run(text), { message: expected }));

  it('any text, its dollar signs doubled, comes out as it was', () => {
    const next = random(7);
    const alphabet = '$${}:-?+ aA_1"\'\\\n';
    for (let round = 0; round < 2000; round++) {
      const text = Array.from(
        { length: Math.floor(next() * 24) },
        () => alphabet[Math.floor(next() * alphabet.length)],
      ).join('');
      assert.equal(run(text.replaceAll('$', '$$$$')), text);
    }
  });

  it('any text gives a text or a refusal at one of its characters, never anything else', () => {
    const next = random(11);
    const pieces = ['$', '$$', '{', '}', 'SET', 'UNSET', ':-', ':?', '+', '-', ':', '${', '${SET', ' ', '1'];
    for (let round = 0; round < 3000; round++) {
      const text = Array.from(
        { length: Math.floor(next() * 10) },
        () => pieces[Math.floor(next() * pieces.length)],
      ).join('');
      try {
        assert.equal(typeof run(text), 'string');
      } catch (error) {
        const index = Number(/^(\d+): /.exec((error as Error).message)?.[1]);
        assert.ok(index >= 0 && index <= text.length, `${JSON.stringify(text)}: ${(error as Error).message}`);
      }
    }
  });

  it('a value is never read again: what a variable holds is text', () => {
    assert.equal(run('$A', { A: '${B:?no} $$' }), '${B:?no} $$');
  });

  it('keys are left alone, values in lists, quotes and blocks are read', () => {
    const { app } = resolveText(
      'services:\n  web:\n    image: "n:$TAG"\n    labels:\n      $TAG: x\n    command:\n      - |\n        echo $TAG\n',
      { environment: { TAG: '7' } },
    );
    assert.equal(app.services[0]?.image, 'n:7');
    assert.deepEqual(app.services[0]?.task.labels, { $TAG: 'x' });
    assert.deepEqual(app.services[0]?.task.command, ['echo 7\n']);
  });

  it('a mistake has its place in every way of quoting', () => {
    const at = (value: string) =>
      mistakeOf({ 'compose.yaml': `services:\n  web:\n    image: nginx\n    user: ${value}\n` }).at;
    assert.equal(at('ab${'), 'compose.yaml:4:13');
    assert.equal(at("'a''b${'"), 'compose.yaml:4:16');
    assert.equal(at('"a\\tb${"'), 'compose.yaml:4:16');
    assert.equal(at('|\n      a\n      bb${'), 'compose.yaml:6:9');
  });

  it('the name of the project is a variable: as asked, else as the file says, else as the directory is called', () => {
    const labelled = (text: string, projectName?: string) => {
      const body = `${text}services: {web: {image: x, labels: {app: $COMPOSE_PROJECT_NAME}}}\n`;
      const { app, warnings } = resolveText(body, {
        environment: { STAGE: 'beta' },
        ...(projectName === undefined ? {} : { projectName }),
      });
      return [app.name, app.services[0]?.task.labels?.app, warnings.length];
    };
    assert.deepEqual(labelled('name: till-${STAGE}\n', 'mine'), ['mine', 'mine', 0]);
    assert.deepEqual(labelled('name: till-${STAGE}\n'), ['till-beta', 'till-beta', 0]);
    assert.deepEqual(labelled(''), ['shop', 'shop', 0]);
  });

  it('a variable that is not set is warned of, once, with its place', () => {
    const { warnings } = resolveText('services:\n  web:\n    image: nginx\n    user: a${WHO}\n');
    assert.deepEqual(warnings, [
      { at: 'compose.yaml:4:12', message: 'the variable WHO is not set; it becomes nothing' },
    ]);
  });
});

describe('files of variables', () => {
  const parse = (text: string, raw = false) =>
    parseEnvironmentFile('.env', text, { raw, variables: { HOME: '/home/ann' }, unset: () => undefined });
  const table: [string, Record<string, string>][] = [
    ['A=1\nB = 2 \n', { A: '1', B: '2' }],
    ['# c\n\n  export A=1 # c\nB=x#y\n', { A: '1', B: 'x#y' }],
    ["A='$HOME # x'\n", { A: '$HOME # x' }],
    ['A="$HOME # x" # c\n', { A: '/home/ann # x' }],
    ['A="a\\nb\\t\\"q\\" \\$HOME"\n', { A: 'a\nb\t"q" $HOME' }],
    ['A=1\nB=${A}2\nC=$B\n', { A: '1', B: '12', C: '12' }],
    ['A=\nB=""\n', { A: '', B: '' }],
    ['HOME\nNOBODY\n', { HOME: '/home/ann' }],
    ['A: yaml\n', { A: 'yaml' }],
    ['A=1\r\nB=2\r\n', { A: '1', B: '2' }],
    ['\uFEFFA=1', { A: '1' }],
    ['A="one\ntwo"\nB=3\n', { A: 'one\ntwo', B: '3' }],
    ['URL=postgres://a:b@c/d?e=f\n', { URL: 'postgres://a:b@c/d?e=f' }],
    ['JSON={"a": 1}\n', { JSON: '{"a": 1}' }],
  ];
  for (const [text, expected] of table) it(JSON.stringify(text), () => assert.deepEqual(parse(text), expected));
  it('raw: as it stands', () => assert.deepEqual(parse('A="$HOME" # x\n', true), { A: '"$HOME" # x' }));
});

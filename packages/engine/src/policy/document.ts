/** A policy file's text to rules and grants, every mistake with its place. It opens no file. */
import { BulkheadError } from '@bulkhead/contract';
import type { Environment } from '@marcbachmann/cel-js';
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type Scalar,
  type YAMLMap,
} from 'yaml';
import { isLevel, LEVELS, type Level } from '../domain/level.ts';
import { type Condition, ConditionError, compileCondition } from './condition.ts';
import { capabilityName } from './facts.ts';
import type { Grant } from './grant.ts';
import { Positions } from './position.ts';
import { didYouMean } from './suggestion.ts';

export interface Rule {
  name: string;
  /** `file:line:column`. */
  source: string;
  condition: string;
  matches: Condition;
  minimum: Level;
  message: string;
}

export interface PolicyDocument {
  rules: Rule[];
  grants: Grant[];
  /** The shipped rules apply beside these. */
  defaultRules: boolean;
}

const MAX_CHARACTERS = 1 << 20;
const NAME = /^[a-z0-9][a-z0-9_.-]{0,63}$/i;
const TOP_KEYS = ['version', 'defaultRules', 'rules', 'grants'];
const RULE_KEYS = ['name', 'when', 'minimum', 'message'];
const GRANT_KEYS = ['when', 'capabilities', 'bindPaths', 'devices', 'hostNetwork', 'privileged'];

type Fields = Map<string, { key: Scalar<string>; value: Node }>;

export function parsePolicy(file: string, text: string, environment: Environment): PolicyDocument {
  return new PolicyReader(file, text, environment).read();
}

class PolicyReader {
  readonly #text: string;
  readonly #lines = new LineCounter();
  readonly #positions: Positions;
  readonly #environment: Environment;

  constructor(file: string, text: string, environment: Environment) {
    this.#text = text;
    this.#positions = new Positions(file, text, this.#lines);
    this.#environment = environment;
  }

  read(): PolicyDocument {
    if (this.#text.length > MAX_CHARACTERS) this.#refuse(0, `the file is longer than ${MAX_CHARACTERS} characters`);
    const document = parseDocument(this.#text, { lineCounter: this.#lines, prettyErrors: false, stringKeys: true });
    const [mistake] = [...document.errors, ...document.warnings];
    if (mistake) this.#refuse(mistake.pos[0], `this is not valid YAML: ${mistake.message.split('\n')[0]}`);
    if (document.contents === null) this.#refuse(0, 'the file is empty; it begins with version: 1');
    const fields = this.#fields(document.contents as Node, 'the policy', TOP_KEYS);
    const version = fields.get('version');
    if (!version) this.#refuse(this.#start(document.contents as Node), 'version is missing; write version: 1');
    if (!isScalar(version.value) || version.value.value !== 1) {
      this.#refuse(this.#start(version.value), 'the version of this file is not 1, the only one there is');
    }
    const rules = fields.get('rules');
    const grants = fields.get('grants');
    const parsed = rules ? this.#items(rules.value, 'rules').map((item) => this.#rule(item)) : [];
    this.#refuseDuplicates(parsed);
    return {
      rules: parsed.map(({ rule }) => rule),
      grants: grants ? this.#grants(grants.value) : [],
      defaultRules: this.#boolean(fields, 'defaultRules', true),
    };
  }

  #rule(node: Node): { rule: Rule; name: Node } {
    const fields = this.#fields(node, 'a rule', RULE_KEYS);
    const name = this.#required(fields, 'name', node);
    if (!NAME.test(name.value)) {
      this.#refuse(
        this.#start(name),
        `the name ${JSON.stringify(name.value)} is not 1 to 64 letters, digits, _, . and -`,
      );
    }
    const when = this.#required(fields, 'when', node);
    const minimum = this.#required(fields, 'minimum', node);
    const level = minimum.value;
    if (!isLevel(level)) {
      const hint = didYouMean(level, LEVELS) || `; levels are ${LEVELS.join(', ')}`;
      this.#refuse(this.#start(minimum), `there is no level ${JSON.stringify(level)}${hint}`);
    }
    const message = fields.has('message') ? this.#required(fields, 'message', node).value.trim() : '';
    const rule: Rule = {
      name: name.value,
      source: this.#positions.at(this.#start(node)),
      condition: when.value.trim(),
      // A rule in doubt applies: a task may come out stronger than meant, never weaker.
      matches: this.#condition(when, true, `rule ${name.value}`),
      minimum: level,
      message: message || `needs at least ${level}`,
    };
    return { rule, name };
  }

  #refuseDuplicates(rules: { rule: Rule; name: Node }[]): void {
    const seen = new Map<string, Rule>();
    for (const { rule, name } of rules) {
      const first = seen.get(rule.name);
      if (first) this.#refuse(this.#start(name), `the rule name ${rule.name} is taken by ${first.source}`);
      seen.set(rule.name, rule);
    }
  }

  /** One grant, or a list of them. */
  #grants(node: Node): Grant[] {
    return isSeq(node) ? this.#items(node, 'grants').map((item) => this.#grant(item)) : [this.#grant(node)];
  }

  #grant(node: Node): Grant {
    const fields = this.#fields(node, 'a grant', GRANT_KEYS);
    const when = fields.has('when') ? this.#required(fields, 'when', node) : undefined;
    return {
      // A grant in doubt is not given.
      when: when && this.#condition(when, false, 'this grant'),
      capabilities: this.#strings(fields, 'capabilities', () => undefined).map(capabilityName),
      bindPaths: this.#strings(fields, 'bindPaths', notAbsolute),
      devices: this.#strings(fields, 'devices', notAbsolute),
      hostNetwork: this.#boolean(fields, 'hostNetwork', false),
      privileged: this.#boolean(fields, 'privileged', false),
    };
  }

  #condition(scalar: Scalar<string>, doubtful: boolean, what: string): Condition {
    try {
      return compileCondition(this.#environment, scalar.value, doubtful);
    } catch (error) {
      if (!(error instanceof ConditionError)) throw error;
      const at = this.#positions.inside(scalar, error.index);
      throw new BulkheadError('invalid_policy', `${at}: ${what}: ${error.message}`, { at, cause: error });
    }
  }

  #fields(node: Node, what: string, known: readonly string[]): Fields {
    if (!isMap(node)) this.#refuse(this.#start(node), `${what} is written as KEY: VALUE lines`);
    const fields: Fields = new Map();
    for (const pair of (node as YAMLMap<Scalar<string>, Node | null>).items) {
      const { key, value } = pair;
      if (!known.includes(key.value)) {
        const hint = didYouMean(key.value, known) || `; known are ${known.join(', ')}`;
        this.#refuse(this.#start(key), `${what} has no key ${JSON.stringify(key.value)}${hint}`);
      }
      if (value === null || (isScalar(value) && value.value === null))
        this.#refuse(this.#start(key), `${key.value} has no value`);
      if (isAlias(value)) this.#refuse(this.#start(value), 'YAML aliases are not allowed here');
      fields.set(key.value, { key, value });
    }
    return fields;
  }

  #items(node: Node, what: string): Node[] {
    if (!isSeq(node)) this.#refuse(this.#start(node), `${what} is a list`);
    return node.items.map((item) => {
      if (isAlias(item)) this.#refuse(this.#start(item), 'YAML aliases are not allowed here');
      return item as Node;
    });
  }

  #required(fields: Fields, key: string, owner: Node): Scalar<string> {
    const field = fields.get(key);
    if (!field) this.#refuse(this.#start(owner), `${key} is missing`);
    if (!isScalar(field.value) || typeof field.value.value !== 'string') {
      this.#refuse(this.#start(field.value), `${key} is not a text; put it in quotes`);
    }
    return field.value as Scalar<string>;
  }

  #strings(fields: Fields, key: string, wrong: (value: string) => string | undefined): string[] {
    const field = fields.get(key);
    if (!field) return [];
    return this.#items(field.value, key).map((item) => {
      const value = isScalar(item) ? item.value : undefined;
      if (typeof value !== 'string' || value === '')
        return this.#refuse(this.#start(item), `${key} holds something that is not a text`);
      const why = wrong(value);
      return why === undefined ? value : this.#refuse(this.#start(item), `${JSON.stringify(value)} in ${key} ${why}`);
    });
  }

  #boolean(fields: Fields, key: string, absent: boolean): boolean {
    const field = fields.get(key);
    if (!field) return absent;
    const value = isScalar(field.value) ? field.value.value : undefined;
    return typeof value === 'boolean' ? value : this.#refuse(this.#start(field.value), `${key} is true or false`);
  }

  #start(node: Node): number {
    return node.range?.[0] ?? 0;
  }

  #refuse(offset: number, message: string): never {
    const at = this.#positions.at(offset);
    throw new BulkheadError('invalid_policy', `${at}: ${message}`, { at });
  }
}

const notAbsolute = (value: string): string | undefined =>
  value.startsWith('/') && !value.split('/').includes('..') ? undefined : 'is not an absolute path without ".."';

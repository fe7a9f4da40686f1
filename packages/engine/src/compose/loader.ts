/** Reads the files of a project through what the caller has handed over, and says which it still needs. It opens nothing. */
import path from 'node:path';
import { canonical } from './canonical.ts';
import { checkTree } from './check.ts';
import { refuseSharedTargets } from './contradictions.ts';
import { parseEnvironmentFile } from './env-file.ts';
import { joinIncluded } from './inclusion.ts';
import { interpolate } from './interpolation.ts';
import { merge } from './merge.ts';
import { flagOf } from './quantities.ts';
import { ComposeFile } from './schema.ts';
import { absolutePath } from './short-forms.ts';
import {
  type Entry,
  entriesOf,
  get,
  itemsOf,
  type MapTree,
  map,
  type Place,
  placeText,
  refuse,
  type Tree,
  textOf,
} from './tree.ts';
import { parseYaml } from './yaml-tree.ts';

/** Text, bytes that are no text, or null where there is no such file. */
export type FileContent = string | null | { base64: string };

/** The work cannot go on before the caller has handed these files over. */
export class FilesNeeded extends Error {}

export interface Scope {
  directory: string;
  variables: Readonly<Record<string, string>>;
}

const MAX_INCLUDES = 64;

export class Loader {
  readonly needed = new Set<string>();
  readonly warnings: { at: string; message: string }[] = [];
  readonly #files: ReadonlyMap<string, FileContent>;
  readonly #showFrom: string;
  readonly #schema = ComposeFile;

  constructor(files: ReadonlyMap<string, FileContent>, showFrom: string) {
    this.#files = files;
    this.#showFrom = showFrom;
  }

  /** As short as a user would write it. */
  shown(file: string): string {
    const relative = path.posix.relative(this.#showFrom, file);
    return relative === '' || relative.startsWith('../../..') ? file : relative;
  }

  /** Null where there is no such file. With `later` the work goes on, to find all that is needed at once. */
  content(file: string, later = false): FileContent {
    const found = this.#files.get(file);
    if (found !== undefined) return found;
    this.needed.add(file);
    if (later) return '';
    throw new FilesNeeded(file);
  }

  text(file: string, later = false): string | null {
    const found = this.content(file, later);
    if (found === null || typeof found === 'string') return found;
    return refuse({ file: this.shown(file), line: 1, column: 1 }, 'the file is not UTF-8 text', 'Save it as UTF-8.');
  }

  warn(at: Place, message: string): void {
    const place = placeText(at);
    if (!this.warnings.some((known) => known.at === place && known.message === message))
      this.warnings.push({ at: place, message });
  }

  environmentFile(
    file: string,
    options: { raw: boolean; variables: Readonly<Record<string, string>>; later?: boolean },
  ): Record<string, string> | null {
    const text = this.text(file, options.later);
    if (text === null) return null;
    const { raw, variables } = options;
    return parseEnvironmentFile(this.shown(file), text, {
      raw,
      variables,
      unset: (name, at) => this.warn(at, unsetText(name)),
    });
  }

  /** The name a file gives the project, before anything else of it is read: its variables hold the name. */
  nameIn(file: string, scope: Scope): string | undefined {
    const text = this.text(file);
    if (text === null) return undefined;
    const name = get(parseYaml(this.shown(file), text), 'name');
    return name && textOf(this.#interpolated(name, scope, false));
  }

  /** The files merged, each with its extends and includes worked in. */
  load(files: string[], scope: Scope, chain: string[] = []): MapTree {
    let project: Tree = map({ file: this.shown(files[0] ?? ''), line: 1, column: 1 });
    for (const file of files) {
      const tree = this.#file(file, scope);
      const extended = this.#extendAll(tree, file, scope);
      project = this.#include(project as MapTree, extended, scope, [...chain, file]);
      project = merge(project, without(extended, 'include')) ?? project;
    }
    return project as MapTree;
  }

  /** One file, checked and canonical. */
  #file(file: string, scope: Scope, namedAt?: Place): MapTree {
    const text = this.text(file);
    const top = { file: this.shown(file), line: 1, column: 1 };
    if (text === null)
      refuse(
        namedAt ?? top,
        `there is no file ${this.shown(file)}`,
        'Check the path; it is relative to the file that names it.',
        'compose_file_missing',
      );
    const parsed = parseYaml(this.shown(file), text);
    const tree = this.#interpolated(parsed, scope, false);
    checkTree(tree, this.#schema, '', (at, message) => this.warn(at, message));
    const whole = canonical(tree as MapTree, { directory: scope.directory, home: scope.variables.HOME });
    refuseSharedTargets(whole);
    return whole;
  }

  #interpolated(tree: Tree, scope: Scope, ownKeys: boolean): Tree {
    if (tree.kind === 'list')
      return { ...tree, items: tree.items.map((item) => this.#interpolated(item, scope, ownKeys)) };
    if (tree.kind === 'map') {
      // What is under keys of the user's own is nobody's to read but the user's, save for x-bulkhead.
      const inner = ([key, entry]: [string, Entry]) =>
        [
          key,
          {
            ...entry,
            value:
              key.startsWith('x-') && key !== 'x-bulkhead'
                ? entry.value
                : this.#interpolated(entry.value, scope, ownKeys),
          },
        ] as const;
      return { ...tree, entries: new Map([...tree.entries].map(inner)) };
    }
    if (typeof tree.value !== 'string' || !tree.value.includes('$')) return tree;
    const place = (index: number): Place => tree.inside?.(index) ?? tree.at;
    const value = interpolate(tree.value, {
      variables: scope.variables,
      fail: (index, message, hint) => refuse(place(index), message, hint, 'compose_variable'),
      unset: (name, index) => this.warn(place(index), unsetText(name)),
    });
    const { inside: _inside, ...rest } = tree;
    return { ...rest, value };
  }

  #extendAll(tree: MapTree, file: string, scope: Scope): MapTree {
    const services = get(tree, 'services');
    if (services?.kind !== 'map') return tree;
    const entries = new Map(services.entries);
    for (const [name, entry] of services.entries)
      entries.set(name, { ...entry, value: this.#extended(name, { tree, file, scope }, []) });
    const section: Entry = { keyAt: services.at, value: { ...services, entries } };
    return { ...tree, entries: new Map(tree.entries).set('services', section) };
  }

  #extended(name: string, from: { tree: MapTree; file: string; scope: Scope }, chain: string[]): Tree {
    const own = get(get(from.tree, 'services'), name) ?? map(from.tree.at);
    const request = get(own, 'extends');
    if (!request) return own;
    const baseName = textOf(get(request, 'service')) ?? '';
    const fileTree = get(request, 'file');
    const step = `${this.shown(from.file)}: ${name}`;
    if (chain.includes(step))
      refuse(
        request.at,
        `extends goes in a circle: ${[...chain.slice(chain.indexOf(step)), step].join(' -> ')}`,
        'Take one extends out.',
      );
    const base = fileTree ? this.#otherFile(fileTree, from.scope) : from;
    if (!get(base.tree, 'services') || !entriesOf(get(base.tree, 'services')).some(([known]) => known === baseName)) {
      refuse(
        request.at,
        `extends names the service ${JSON.stringify(baseName)}, which is not in ${this.shown(base.file)}`,
        'Check the name; extends takes a service, not an anchor.',
      );
    }
    const under = this.#extended(baseName, base, [...chain, step]);
    return merge(without(under as MapTree, 'extends'), without(own as MapTree, 'extends'), `services/${name}`) as Tree;
  }

  #otherFile(tree: Tree, scope: Scope): { tree: MapTree; file: string; scope: Scope } {
    const file = absolutePath(textOf(tree) ?? '', { directory: scope.directory, home: scope.variables.HOME });
    const inner = { directory: path.posix.dirname(file), variables: scope.variables };
    return { tree: this.#file(file, inner, tree.at), file, scope: inner };
  }

  #include(project: MapTree, tree: MapTree, scope: Scope, chain: string[]): MapTree {
    let result = project;
    for (const item of itemsOf(get(tree, 'include'))) {
      const paths = item.kind === 'map' ? itemsOf(get(item, 'path')) : [item];
      const toAbsolute = (one: Tree) =>
        absolutePath(textOf(one) ?? '', { directory: scope.directory, home: scope.variables.HOME });
      for (const one of paths) {
        const text = textOf(one) ?? '';
        if (/^([a-z]+:\/\/|git@)/.test(text))
          refuse(
            one.at,
            `include of ${text} is not supported`,
            'Only local files can be included: put a copy beside this file.',
            'compose_unsupported',
          );
      }
      const files = paths.map(toAbsolute);
      const again = files.find((file) => chain.includes(file));
      if (again !== undefined)
        refuse(
          item.at,
          `include goes in a circle: ${[...chain, again].map((file) => this.shown(file)).join(' -> ')}`,
          'Take one include out.',
        );
      if (chain.length > MAX_INCLUDES) refuse(item.at, `files include each other more than ${MAX_INCLUDES} deep`);
      for (const [index, file] of files.entries()) {
        if (this.text(file) === null)
          refuse(
            paths[index]!.at,
            `there is no file ${this.shown(file)}`,
            'Check the path; it is relative to the file that includes it.',
            'compose_file_missing',
          );
      }
      const directoryTree = get(item, 'project_directory');
      const directory = directoryTree ? toAbsolute(directoryTree) : path.posix.dirname(files[0] ?? scope.directory);
      const variables = { ...this.#includedVariables(item, directory, scope, toAbsolute), ...scope.variables };
      const included = this.load(files, { directory, variables }, chain);
      result = joinIncluded(result, { included, including: tree }, item.at);
    }
    return result;
  }

  #includedVariables(
    item: Tree,
    directory: string,
    scope: Scope,
    toAbsolute: (tree: Tree) => string,
  ): Record<string, string> {
    const named = itemsOf(get(item, 'env_file'));
    if (named.length === 0)
      return this.environmentFile(path.posix.join(directory, '.env'), { raw: false, variables: scope.variables }) ?? {};
    let variables: Record<string, string> = {};
    for (const tree of named) {
      const found = this.environmentFile(toAbsolute(tree), {
        raw: false,
        variables: { ...variables, ...scope.variables },
      });
      if (found === null)
        refuse(tree.at, `there is no file ${textOf(tree)}`, 'Make it, or take env_file out.', 'compose_file_missing');
      variables = { ...variables, ...found };
    }
    return variables;
  }

  /** Whether a file an entry names must be there. */
  static required(entry: Tree): boolean {
    return flagOf(get(entry, 'required')) ?? true;
  }
}

function unsetText(name: string): string {
  return `the variable ${name} is not set; it becomes nothing`;
}

function without(tree: MapTree, key: string): MapTree {
  if (tree.kind !== 'map' || !tree.entries.has(key)) return tree;
  const entries = new Map(tree.entries);
  entries.delete(key);
  return { ...tree, entries };
}

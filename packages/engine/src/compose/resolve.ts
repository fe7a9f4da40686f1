/** Compose files to an app: everything a user can get wrong is refused here, at its place, before anything changes. It does no I/O. */
import path from 'node:path';
import { BulkheadError } from '@bulkhead/contract';
import type { App } from '../domain/app.ts';
import { refuseCircles, refuseSharedPorts, refuseSharedRoutes } from './app-checks.ts';
import { contentOf, networkOf, volumeOf } from './app-resources.ts';
import { appService, type ProjectNames } from './app-service.ts';
import { resolvedDocument } from './document.ts';
import { type FileContent, FilesNeeded, Loader } from './loader.ts';
import { entriesOf, get, itemsOf, type MapTree, map, refuse, type Tree, textOf } from './tree.ts';

export interface ComposeInput {
  /** By absolute path. */
  files: ReadonlyMap<string, FileContent>;
  /** The list of -f, absolute. */
  paths: string[];
  projectDirectory: string;
  /** Messages show paths relative to it; the project directory unless given. */
  workingDirectory?: string;
  projectName?: string;
  environment: Record<string, string>;
  /** In place of `.env`, absolute. */
  environmentFiles?: string[];
  profiles: string[];
}

export interface ComposeResolved {
  kind: 'resolved';
  app: App;
  /** The resolved file, as `config` prints it. */
  document: Record<string, unknown>;
  warnings: { at: string; message: string }[];
  /** Bytes of secrets and configurations by `secrets.KEY` and `configs.KEY`; never shown to anyone. */
  contents: Map<string, Buffer>;
}
export type ComposeResult = { kind: 'needs'; paths: string[] } | ComposeResolved;

/** Throws `compose_invalid`, `compose_unsupported`, `compose_variable`, `compose_file_missing`. */
export function resolveCompose(input: ComposeInput): ComposeResult {
  const loader = new Loader(input.files, input.workingDirectory ?? input.projectDirectory);
  try {
    const resolved = new Resolution(input, loader).run();
    return loader.needed.size > 0 ? { kind: 'needs', paths: [...loader.needed] } : resolved;
  } catch (error) {
    if (error instanceof FilesNeeded) return { kind: 'needs', paths: [...loader.needed] };
    throw error;
  }
}

class Resolution {
  readonly #input: ComposeInput;
  readonly #loader: Loader;

  constructor(input: ComposeInput, loader: Loader) {
    this.#input = input;
    this.#loader = loader;
  }

  run(): ComposeResolved {
    const { paths, projectDirectory, environment } = this.#input;
    if (paths.length === 0) throw new BulkheadError('compose_file_missing', 'no Compose file is given');
    // All that is named is asked for at once.
    for (const file of paths) this.#loader.content(file, true);
    const given = { ...this.#dotEnvironment(), ...environment };
    const name = this.#projectName(given);
    const variables = { ...given, COMPOSE_PROJECT_NAME: name };
    const loaded = this.#loader.load(paths, { directory: projectDirectory, variables });
    const project = this.#active(loaded, this.#profiles(variables));
    const app = this.#app(name, project, variables);
    const document = resolvedDocument(app, project);
    return {
      kind: 'resolved',
      app,
      document,
      warnings: this.#loader.warnings,
      contents: this.#contents(app, variables),
    };
  }

  #dotEnvironment(): Record<string, string> {
    const { environmentFiles, projectDirectory, environment } = this.#input;
    const files = environmentFiles ?? [path.posix.join(projectDirectory, '.env')];
    let found: Record<string, string> = {};
    for (const file of files) {
      const one = this.#loader.environmentFile(file, { raw: false, variables: { ...found, ...environment } });
      if (one === null && environmentFiles)
        throw new BulkheadError('compose_file_missing', `there is no environment file ${file}`);
      found = { ...found, ...one };
    }
    return found;
  }

  #projectName(variables: Record<string, string>): string {
    const asked = this.#input.projectName ?? variables.COMPOSE_PROJECT_NAME;
    if (asked !== undefined && asked !== '') {
      if (/^[a-z0-9][a-z0-9_-]*$/.test(asked)) return asked;
      throw new BulkheadError('invalid_name', `${JSON.stringify(asked)} cannot be the name of an app`, {
        hint: 'Use lower-case letters, digits, - and _, beginning with a letter or digit.',
      });
    }
    const scope = { directory: this.#input.projectDirectory, variables };
    const written = this.#input.paths.map((file) => this.#loader.nameIn(file, scope)).findLast((one) => one);
    if (written !== undefined) return written;
    const fromDirectory = path.posix
      .basename(this.#input.projectDirectory)
      .toLowerCase()
      .replace(/[^a-z0-9_-]/g, '')
      .replace(/^[^a-z0-9]+/, '');
    if (fromDirectory !== '') return fromDirectory;
    return refuse(
      { file: this.#loader.shown(this.#input.paths[0] ?? ''), line: 1, column: 1 },
      'the app has no name, and its directory gives none',
      'Add `name:` at the top, or use -p NAME.',
    );
  }

  #profiles(variables: Record<string, string>): string[] {
    const asked = this.#input.profiles;
    return asked.length > 0 ? asked : (variables.COMPOSE_PROFILES ?? '').split(',').filter((name) => name !== '');
  }

  /** Without the services whose profiles are not switched on. */
  #active(project: MapTree, profiles: string[]): MapTree {
    const services = get(project, 'services');
    if (services?.kind !== 'map' || services.entries.size === 0)
      refuse(services?.at ?? project.at, 'there is no service', 'Add one under `services:`.');
    const on = [...services.entries].filter(([, { value }]) => {
      const own = itemsOf(get(value, 'profiles')).map((item) => textOf(item) ?? '');
      return own.length === 0 || profiles.includes('*') || own.some((profile) => profiles.includes(profile));
    });
    const entries = new Map(
      on.map(([name, { keyAt, value }]) => [name, { keyAt, value: value.kind === 'map' ? value : map(keyAt) }]),
    );
    return {
      ...project,
      entries: new Map(project.entries).set('services', { keyAt: services.at, value: { ...services, entries } }),
    };
  }

  #app(name: string, project: MapTree, variables: Record<string, string>): App {
    const section = (key: string) => entriesOf(get(project, key)).filter(([one]) => !one.startsWith('x-'));
    const networks = section('networks').map(([key, entry]) => networkOf(key, entry, name));
    const volumes = section('volumes').map(([key, entry]) => volumeOf(key, entry, name));
    const secrets = section('secrets').map(([key, entry]) => contentOf(key, entry, name, 'secret'));
    const configs = section('configs').map(([key, entry]) => contentOf(key, entry, name, 'config'));
    const entries = section('services');
    const names: ProjectNames = {
      services: entries.map(([key]) => key),
      networks: networks.map(({ key }) => key),
      volumes: new Map(volumes.map((volume) => [volume.key, volume])),
      secrets: secrets.map(({ key }) => key),
      configs: configs.map(({ key }) => key),
    };
    const defaults = get(project, 'x-bulkhead');
    const services = entries.map(([key, entry]) =>
      appService(key, entry, { app: name, names, defaults, env: this.#environment(entry.value, variables) }),
    );
    refuseCircles(services);
    refuseSharedRoutes(services);
    const trees = new Map(entries.map(([key, { value }]) => [key, value]));
    refuseSharedPorts(services, (key) => itemsOf(get(trees.get(key), 'ports')).map(({ at }) => at));
    if (
      !names.networks.includes('default') &&
      services.some((service) => service.networks.some(({ network }) => network === 'default'))
    ) {
      networks.push({
        key: 'default',
        name: `${name}_default`,
        external: false,
        internal: false,
        labels: {},
        source: project.at,
      });
    }
    return { name, services, networks, volumes, secrets, configs };
  }

  /** `environment` wins over `env_file`, the later file over the earlier; a name alone takes the caller's value. */
  #environment(service: Tree, variables: Record<string, string>): string[] {
    let found: Record<string, string> = {};
    for (const entry of itemsOf(get(service, 'env_file'))) {
      const pathTree = get(entry, 'path')!;
      const file = textOf(pathTree) ?? '';
      const raw = textOf(get(entry, 'format')) === 'raw';
      const one = this.#loader.environmentFile(file, { raw, variables: { ...found, ...variables }, later: true });
      if (one === null && Loader.required(entry)) {
        refuse(
          pathTree.at,
          `there is no environment file ${this.#loader.shown(file)}`,
          'Make it, or write it as {path: …, required: false}.',
          'compose_file_missing',
        );
      }
      found = { ...found, ...one };
    }
    for (const [key, { keyAt, value }] of entriesOf(get(service, 'environment'))) {
      if (key === '' || key.includes('='))
        refuse(keyAt, `${JSON.stringify(key)} cannot be the name of a variable`, 'Write NAME=VALUE, or NAME: VALUE.');
      const text = textOf(value) ?? (Object.hasOwn(variables, key) ? variables[key] : undefined);
      if (text === undefined) delete found[key];
      else found[key] = text;
    }
    return Object.entries(found).map(([key, value]) => `${key}=${value}`);
  }

  #contents(app: App, variables: Record<string, string>): Map<string, Buffer> {
    const found = new Map<string, Buffer>();
    for (const [section, items] of [
      ['secrets', app.secrets],
      ['configs', app.configs],
    ] as const) {
      for (const { key, from, source } of items) {
        const used =
          app.services.some((service) => service[section].some(({ name }) => name === key)) ||
          app.services.some((service) =>
            service.egress?.some((grant) => section === 'secrets' && grant.inject?.secret === key),
          );
        if (!used || from.kind === 'external') continue;
        const what = section === 'secrets' ? 'secret' : 'config';
        if (from.kind === 'content') found.set(`${section}.${key}`, Buffer.from(from.text));
        else if (from.kind === 'environment') {
          const value = variables[from.variable];
          if (value === undefined)
            refuse(
              source,
              `the ${what} ${key} is to come from the variable ${from.variable}, which is not set`,
              `Set ${from.variable} in the environment or in the .env file.`,
              'compose_variable',
            );
          found.set(`${section}.${key}`, Buffer.from(value));
        } else {
          const content = this.#loader.content(from.path, true);
          if (content === null)
            refuse(
              source,
              `the file ${this.#loader.shown(from.path)} of the ${what} ${key} does not exist`,
              'Make it, or correct the path.',
              'compose_file_missing',
            );
          found.set(
            `${section}.${key}`,
            typeof content === 'string' ? Buffer.from(content) : Buffer.from(content.base64, 'base64'),
          );
        }
      }
    }
    return found;
  }
}

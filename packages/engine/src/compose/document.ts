/** The resolved file as `config` prints it: long forms, absolute paths, names on the host, everything in order; it can be read back in. */
import { stringify } from 'yaml';
import type { App } from '../domain/app.ts';
import { entriesOf, get, type MapTree, plain, type Tree } from './tree.ts';

type Plain = Record<string, unknown>;
const SECTIONS = ['networks', 'volumes', 'secrets', 'configs'] as const;

export function resolvedDocument(app: App, project: MapTree): Plain {
  const services: Plain = {};
  for (const service of [...app.services].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    services[service.name] = serviceDocument(
      get(get(project, 'services'), service.name)!,
      service.task.env ?? [],
      service.networks.map(({ network }) => network),
    );
  }
  const document: Plain = { name: app.name, services };
  for (const section of SECTIONS) {
    const found = app[section].map((item) => {
      const tree = get(get(project, section), item.key);
      return [item.key, { name: item.name, ...(tree ? (dollars(plain(tree)) as Plain) : {}) }] as const;
    });
    if (found.length > 0) document[section] = Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)));
  }
  for (const [key, { value }] of entriesOf(project)) if (key.startsWith('x-')) document[key] = plain(value);
  return document;
}

/** As YAML that any Compose reads: long lines stay whole, repeated values are written out. */
export function documentYaml(document: Plain): string {
  return stringify(document, { lineWidth: 0, aliasDuplicateObjects: false, version: '1.1' });
}

function serviceDocument(service: Tree, env: string[], networks: string[]): Plain {
  const found = dollars(plain(service)) as Plain;
  delete found.env_file;
  if (env.length > 0) {
    const pairs = env.map(
      (entry) => [entry.slice(0, entry.indexOf('=')), dollars(entry.slice(entry.indexOf('=') + 1))] as const,
    );
    found.environment = Object.fromEntries(pairs.sort(([a], [b]) => (a < b ? -1 : 1)));
  }
  found.networks ??= networks.length > 0 ? Object.fromEntries(networks.map((name) => [name, null])) : undefined;
  return Object.fromEntries(
    Object.entries(found)
      .filter(([key, value]) => value !== null && value !== undefined && key !== 'extends')
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

/** A dollar sign that is one stays one when the output is read again. */
function dollars(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('$', '$$$$');
  if (Array.isArray(value)) return value.map(dollars);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      key.startsWith('x-') && key !== 'x-bulkhead' ? inner : dollars(inner),
    ]),
  );
}

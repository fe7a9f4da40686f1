/** The JSON Schema of a whole Compose file as Bulkhead takes it: the engine checks by it, editors complete by it. */
import Type, { type TSchema } from 'typebox';
import { AppExtension, VolumeExtension } from './schema-deploy.ts';
import { Flag, named, noEffect, Pairs, refused, shape, Text, TextOrTexts } from './schema-parts.ts';
import { Service } from './schema-service.ts';

const External = Type.Union([Flag, shape({ name: Text })]);
const Options = Type.Record(Type.String(), Type.Union([Text, Type.Null()]));

const Network = shape({
  name: Text,
  driver: Text,
  driver_opts: Options,
  external: External,
  internal: Flag,
  attachable: noEffect(Flag, 'every instance can be put on any network.'),
  enable_ipv4: Flag,
  enable_ipv6: Flag,
  labels: Pairs,
  ipam: shape({
    driver: Text,
    config: Type.Array(
      shape({
        subnet: Text,
        gateway: Text,
        ip_range: refused('the engine gives addresses of the whole subnet.'),
        aux_addresses: refused('the engine gives addresses of the whole subnet.'),
      }),
    ),
    options: Options,
  }),
});
const Volume = shape({
  name: Text,
  driver: Text,
  driver_opts: Options,
  external: External,
  labels: Pairs,
  'x-bulkhead': VolumeExtension,
});
const content = {
  name: Text,
  file: Text,
  environment: Text,
  external: External,
  labels: Pairs,
  template_driver: refused('write the value itself, or use variables of Compose.'),
};
const Secret = shape({
  ...content,
  driver: refused('use `file`, `environment` or `external`.'),
  driver_opts: refused('use `file`, `environment` or `external`.'),
});
const Config = shape({ ...content, content: Text });
const Include = Type.Union([
  Type.String(),
  shape({ path: TextOrTexts, project_directory: Text, env_file: TextOrTexts }, ['path']),
]);

export const ComposeFile: TSchema = shape({
  version: noEffect(Text, 'the Compose Specification has no versions; remove the key.'),
  name: Type.String({ pattern: '^[a-z0-9][a-z0-9_-]*$' }),
  include: Type.Array(Include),
  services: named(Service),
  networks: named(Network),
  volumes: named(Volume),
  secrets: named(Secret),
  configs: named(Config),
  models: refused('run the model as a service.'),
  'x-bulkhead': AppExtension,
});

/** For editors: `# yaml-language-server: $schema=…`. */
export function composeJsonSchema(): Record<string, unknown> {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Compose file for Bulkhead',
    description: 'The Compose Specification as Bulkhead takes it, with its extensions under x-bulkhead.',
    ...(JSON.parse(JSON.stringify(ComposeFile)) as Record<string, unknown>),
  };
}

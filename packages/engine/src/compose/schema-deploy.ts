/** Schema of a service's `deploy`, `build`, health check, hooks and of what lies under `x-bulkhead`. */
import Type from 'typebox';
import {
  Command,
  Duration,
  Flag,
  NumberLike,
  named,
  noEffect,
  Pairs,
  refused,
  Size,
  shape,
  Text,
  TextOrTexts,
  Texts,
  words,
} from './schema-parts.ts';

const Limits = shape({
  cpus: NumberLike,
  memory: Size,
  pids: NumberLike,
  devices: refused(
    'GPUs and other devices cannot be reserved; pass a device by `devices:` and grant it in the policy.',
  ),
  generic_resources: refused('generic resources belong to Swarm; remove the key.'),
});
const Update = shape({
  parallelism: NumberLike,
  delay: Duration,
  failure_action: words('continue', 'rollback', 'pause'),
  monitor: Duration,
  max_failure_ratio: NumberLike,
  order: words('start-first', 'stop-first'),
});

export const Deploy = shape({
  mode: words('replicated', 'global', 'replicated-job', 'global-job'),
  replicas: NumberLike,
  labels: Pairs,
  endpoint_mode: words('vip', 'dnsrr'),
  resources: shape({ limits: Limits, reservations: Limits }),
  restart_policy: shape({
    condition: words('none', 'on-failure', 'any', 'unless-stopped'),
    delay: Duration,
    max_attempts: NumberLike,
    window: Duration,
  }),
  update_config: Update,
  rollback_config: Update,
  placement: noEffect(
    shape({ constraints: Texts, preferences: Type.Array(Type.Any()), max_replicas_per_node: NumberLike }),
    'there is one machine, so nothing is placed.',
  ),
});

export const HealthCheck = shape({
  test: TextOrTexts,
  disable: Flag,
  interval: Duration,
  timeout: Duration,
  retries: NumberLike,
  start_period: Duration,
  start_interval: Duration,
});

export const Build = Type.Union([
  Type.String(),
  shape({
    context: Text,
    dockerfile: Text,
    dockerfile_inline: Text,
    args: Pairs,
    target: Text,
    labels: Pairs,
    tags: Texts,
    cache_from: noEffect(Texts, 'layers are cached by the image store.'),
    cache_to: noEffect(Texts, 'layers are cached by the image store.'),
    no_cache: Flag,
    pull: Flag,
    network: refused('a build has the network of the build host; remove the key.'),
    platforms: refused('images are built for this host; remove the key.'),
    additional_contexts: refused('copy what the build needs into its context.'),
    entitlements: refused('a build has no powers to be given; remove the key.'),
    extra_hosts: refused('put the names into the Dockerfile.'),
    isolation: refused('a build has one isolation; remove the key.'),
    privileged: refused('a build has no powers to be given; remove the key.'),
    provenance: noEffect(Text, 'no provenance is written.'),
    sbom: noEffect(Text, 'no SBOM is written at build.'),
    secrets: refused('build with the secret elsewhere and push the image.'),
    ssh: refused('fetch private sources before the build.'),
    shm_size: refused('remove the key.'),
    ulimits: refused('remove the key.'),
  }),
]);

const hook = {
  command: Command,
  user: Text,
  working_dir: Text,
  environment: Pairs,
  privileged: refused('a hook has the powers of its service; remove the key.'),
};
export const Hooks = Type.Array(shape(hook, ['command']));
export const PreStartHooks = Type.Array(shape({ ...hook, image: Text, per_replica: Flag }, ['command']));

const Ingress = shape(
  { host: Text, path: Text, port: NumberLike, tls: Type.Union([Flag, words('off', 'auto', 'given')]) },
  ['port'],
);
const Step = Type.Union([NumberLike, shape({ share: NumberLike, for: Duration }, ['share'])]);
const Canary = shape({
  steps: Type.Array(Step),
  share: NumberLike,
  interval: Duration,
  max_error_rate: NumberLike,
  max_p95: Duration,
});
const Release = shape({
  strategy: words('rolling', 'blue-green', 'canary', 'stop-first'),
  batch: NumberLike,
  canary: Canary,
  watch: Duration,
});
const Job = Type.Union([
  words('pre-release', 'post-release'),
  shape({
    when: words('pre-release', 'post-release', 'cron'),
    schedule: Text,
    overlap: words('forbid', 'allow', 'replace'),
    timeout: Duration,
  }),
]);
const Probe = shape({ path: Text, port: NumberLike, status: Text, host: Text, service: Text }, ['port']);
const Health = shape({ http: Probe, tcp: Probe, grpc: Probe, runs_for: Duration });
const EgressItem = Type.Union([
  Text,
  shape({
    host: Text,
    cidr: Text,
    app: Text,
    service: Text,
    port: NumberLike,
    methods: Texts,
    paths: Texts,
    inject: shape({ header: Text, secret: Text }, ['header', 'secret']),
  }),
]);
const Egress = Type.Union([Text, Type.Array(EgressItem)]);

/** `x-bulkhead` at the top holds what every service has unless it says otherwise. */
export const AppExtension = shape({ trust: words('trusted', 'untrusted'), release: Release, egress: Egress });
export const ServiceExtension = shape({
  trust: words('trusted', 'untrusted'),
  ingress: Type.Union([Ingress, Type.Array(Ingress)]),
  release: Release,
  job: Job,
  health: Health,
  'single-writer': Flag,
  egress: Egress,
});
export const VolumeExtension = shape({ 'single-writer': Flag });
export const Ulimits = named(Type.Union([NumberLike, shape({ soft: NumberLike, hard: NumberLike }, ['soft', 'hard'])]));

/** Compose files as users write them become the app they mean, and the resolved file means the same. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is Compose's own syntax.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CreateInstance } from '@bulkhead/contract';
import { documentYaml } from '../../src/compose/document.ts';
import { instanceRequest } from '../../src/compose/instance-request.ts';
import type { ComposeResolved } from '../../src/compose/resolve.ts';
import type { App, AppService } from '../../src/domain/app.ts';
import { fixture, type Options, ROOT, resolve, resolveText } from './project.ts';

/** What each of the projects under fixtures/ is resolved with. */
const PROJECTS: Record<string, Options> = {
  wordpress: {},
  shop: {},
  overrides: { paths: [`${ROOT}/compose.yaml`, `${ROOT}/compose.prod.yaml`] },
  extends: {},
  include: {},
  profiles: { profiles: ['dev'] },
  hardened: {},
  ports: {},
  networks: {},
  build: {},
  observability: { paths: [`${ROOT}/docker-compose.yml`] },
  django: { environment: { HOME: '/home/ann', SECRET_KEY: 'from the caller' } },
  swarmlike: {},
  gateway: {},
  quoting: {},
};

function project(name: string, options: Options = {}): ComposeResolved {
  return resolve(fixture(name), { ...PROJECTS[name], ...options });
}
function service(app: App, name: string): AppService {
  const found = app.services.find((one) => one.name === name);
  assert.ok(found, `there is a service ${name}`);
  return found;
}
/** Places, and what the caller hands over, are another file's: all else must be the same. */
function withoutPlaces(app: App): unknown {
  return JSON.parse(
    JSON.stringify(app, (key, value) => (key === 'source' && typeof value === 'object' ? undefined : value)),
  );
}
function sorted(app: App): App {
  const byKey = <V extends { key: string }>(items: V[]): V[] => [...items].sort((a, b) => (a.key < b.key ? -1 : 1));
  const services = [...app.services]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((one) => ({ ...one, task: { ...one.task, env: [...(one.task.env ?? [])].sort() } }));
  return {
    ...app,
    services,
    networks: byKey(app.networks),
    volumes: byKey(app.volumes),
    secrets: byKey(app.secrets),
    configs: byKey(app.configs),
  };
}

describe('every project', () => {
  for (const [name, options] of Object.entries(PROJECTS)) {
    it(`${name}: the resolved file, read again, gives the same app and the same file`, () => {
      const first = project(name);
      const text = documentYaml(first.document);
      const files: Record<string, string> = { ...fixture(name), '.env': '', 'compose.yaml': text };
      const again = resolve(files, {
        environment: first.app.name === 'shop' && options.environment === undefined ? { SESSION_KEY: 'x' } : {},
        profiles: ['*'],
        workingDirectory: ROOT,
      });
      assert.deepEqual(withoutPlaces(sorted(again.app)), withoutPlaces(sorted(first.app)));
      assert.deepEqual(again.document, first.document);
    });
  }
});

describe('what the files mean', () => {
  it('a service becomes a create request without loss', () => {
    const { app } = project('hardened');
    const request: CreateInstance = instanceRequest(app, service(app, 'sandbox'));
    assert.deepEqual(request, {
      image: `alpine@sha256:${'0123456789abcdef'.repeat(4)}`,
      pull: 'missing',
      network: 'none',
      env: [],
      isolation: 'microvm',
      trust: 'untrusted',
      readOnlyRoot: true,
      user: '10001:10001',
      groupAdd: ['audio', '44'],
      capDrop: ['ALL'],
      capAdd: ['NET_BIND_SERVICE'],
      mounts: [
        { type: 'tmpfs', source: '', target: '/tmp', readOnly: false, sizeBytes: 64 << 20, mode: 0o1777 },
        { type: 'tmpfs', source: '', target: '/run', readOnly: false },
      ],
      ulimits: [
        { name: 'nofile', soft: 1024, hard: 2048 },
        { name: 'nproc', soft: 64, hard: 64 },
      ],
      sysctls: { 'net.core.somaxconn': '1024' },
      init: true,
      limits: { memoryBytes: 512 << 20, cpus: 1.5, pids: 100, diskBytes: 2 * 2 ** 30 },
      stopSignal: 'SIGINT',
      stopTimeoutMs: 90_000,
      hostname: 'box',
    });
  });

  it('a shop: anchors, env files, dependencies, limits, secrets, hooks, jobs, routes and release', () => {
    const { app, contents, warnings } = project('shop');
    const web = service(app, 'web');
    assert.deepEqual(warnings, []);
    assert.equal(web.image, 'registry.example.com/shop:1.4.2');
    assert.deepEqual(web.task.command, ['bin/server', '--port', '8080']);
    assert.deepEqual(web.task.env, [
      'LOG_LEVEL=info',
      'DATABASE_URL=postgres://shop@db/shop',
      'GREETING=Hello $NAME',
      'MULTI=line one\nline two',
    ]);
    assert.deepEqual(web.task.limits, { cpus: 0.5, memoryBytes: 256 << 20, pids: 200 });
    assert.deepEqual(web.reservations, { memoryBytes: 128 << 20 });
    assert.equal(web.replicas, 3);
    assert.deepEqual(web.dependsOn, [
      { service: 'db', condition: 'service_healthy', restart: true, required: true },
      { service: 'migrate', condition: 'service_completed_successfully', restart: false, required: true },
    ]);
    assert.deepEqual(web.networks, [
      { network: 'back', aliases: ['web'], priority: 10 },
      { network: 'front', aliases: ['web', 'shop'], priority: 0 },
    ]);
    assert.deepEqual(web.secrets, [
      { name: 'db_password', target: '/run/secrets/db_password', uid: '0', gid: '0', mode: 0o444 },
      { name: 'session_key', target: '/etc/shop/key', uid: '1000', gid: '0', mode: 0o400 },
    ]);
    assert.equal(contents.get('secrets.session_key')?.toString(), 's3cr3t # not a comment');
    assert.equal(contents.get('secrets.db_password')?.toString(), 'hunter2');
    assert.doesNotMatch(JSON.stringify(app), /hunter2|s3cr3t/);
    assert.deepEqual(web.preStop[0]?.command, ['bin/flush', '--all']);
    assert.deepEqual(
      web.ingress.map(({ host, path, tls }) => [host, path, tls]),
      [
        ['shop.example.com', '/', 'auto'],
        ['shop.example.com', '/static', 'auto'],
      ],
    );
    assert.deepEqual(web.healthProbe, { kind: 'http', port: 8080, path: '/healthz', status: '200-399' });
    assert.deepEqual(web.release, {
      strategy: 'canary',
      watchMs: 60_000,
      canary: {
        steps: [{ share: 0.05 }, { share: 0.25, durationMs: 120_000 }, { share: 1 }],
        intervalMs: 30_000,
        maxErrorRate: 0.01,
        maxP95Ms: 300,
      },
    });
    assert.deepEqual(
      web.egress?.map(({ to, inject }) => [to, inject?.secret]),
      [
        ['api.stripe.com:443', undefined],
        ['api.github.com', 'db_password'],
      ],
    );
    assert.deepEqual(service(app, 'worker').task.command, ['bin/worker', '--queue', 'high priority']);
    assert.equal(service(app, 'worker').task.trust, 'untrusted');
    assert.deepEqual(service(app, 'migrate').job, { when: 'pre-release' });
    assert.deepEqual(service(app, 'nightly').job, {
      when: 'cron',
      schedule: '0 3 * * mon-fri',
      overlap: 'forbid',
      timeoutMs: 3_600_000,
    });
    const db = service(app, 'db');
    assert.equal(db.singleWriter, true);
    assert.deepEqual(db.task.healthCheck, {
      test: ['CMD-SHELL', 'pg_isready -U $POSTGRES_USER'],
      intervalMs: 5000,
      timeoutMs: 3000,
      startPeriodMs: 20_000,
      retries: 10,
    });
    assert.deepEqual(db.source, { file: 'compose.yaml', line: 53, column: 3 });
    assert.equal(app.networks.find(({ key }) => key === 'back')?.internal, true);
  });

  it('a second file overrides, resets and adds, by the rules of each key', () => {
    const { app } = project('overrides');
    const web = service(app, 'web');
    assert.equal(web.image, 'registry.example.com/web:2');
    assert.equal(web.build, undefined);
    assert.deepEqual(web.task.command, ['node', 'server.js']);
    assert.deepEqual(
      web.task.ports?.map(({ hostPort }) => hostPort),
      [80],
    );
    assert.equal(web.task.mounts, undefined);
    assert.deepEqual(web.task.env, ['NODE_ENV=production']);
    assert.deepEqual(web.task.labels, { team: 'shop', stage: 'prod' });
    assert.deepEqual(web.task.dns, ['1.1.1.1', '9.9.9.9']);
    assert.equal(web.task.capAdd, undefined);
    assert.deepEqual(
      web.dependsOn.map((one) => one.service),
      ['db', 'cache'],
    );
    assert.deepEqual(
      service(app, 'db').task.ports?.map(({ hostIp, hostPort }) => `${hostIp}:${hostPort}`),
      ['0.0.0.0:5432', '127.0.0.1:5433'],
    );
  });

  it('extends takes a chain of services, its paths begin at the file they are in', () => {
    const { app } = project('extends');
    const api = service(app, 'api');
    assert.deepEqual(api.task.env, ['A=base', 'B=api', 'C=api']);
    assert.deepEqual(api.task.mounts?.[0]?.source, `${ROOT}/data`);
    const web = service(app, 'web');
    assert.equal(web.build?.context, `${ROOT}/common/web`);
    assert.equal(web.task.mounts?.[0]?.source, `${ROOT}/common/static`);
    assert.deepEqual(web.task.env, ['FROM_COMMON=yes']);
    assert.equal(web.task.log?.maxSizeBytes, 1 << 20);
    assert.equal(
      app.services.some(({ name }) => name === 'base'),
      false,
    );
  });

  it('include brings its own .env and directory', () => {
    const { app, contents } = project('include');
    assert.equal(service(app, 'prometheus').image, 'prom/prometheus:v2.53.0');
    assert.equal(service(app, 'prometheus').task.mounts?.[0]?.source, `${ROOT}/monitoring/prometheus.yml`);
    assert.equal(service(app, 'rabbit').image, 'rabbitmq:3.13');
    assert.equal(service(app, 'rabbit').task.mounts?.[0]?.source, `${ROOT}/queue/conf`);
    assert.equal(service(app, 'rabbit').task.limits?.memoryBytes, 2 ** 30);
    assert.equal(contents.get('configs.rules')?.toString(), 'groups:\n  - name: default\n');
    assert.deepEqual(
      app.volumes.map(({ name }) => name),
      ['platform_metrics'],
    );
  });

  it('profiles switch services on, by flag, by variable and by *', () => {
    const names = (options: Options) =>
      project('profiles', { profiles: [], ...options }).app.services.map(({ name }) => name);
    assert.deepEqual(names({}), ['web']);
    assert.deepEqual(names({ profiles: ['dev'] }), ['web', 'debug', 'seed']);
    assert.deepEqual(names({ environment: { COMPOSE_PROFILES: 'seed' } }), ['web', 'seed']);
    assert.deepEqual(names({ profiles: ['*'] }), ['web', 'debug', 'seed']);
  });

  it('ports in every way of writing', () => {
    const { app } = project('ports');
    const dns = service(app, 'dns');
    assert.deepEqual(
      dns.task.ports?.map((one) => `${one.hostIp}:${one.hostPort}:${one.port}/${one.protocol}`),
      [
        '0.0.0.0:53:53/udp',
        '127.0.0.1:5353:53/tcp',
        '::1:5354:53/tcp',
        '0.0.0.0:0:9153/tcp',
        '0.0.0.0:3000:4000/tcp',
        '0.0.0.0:3001:4001/tcp',
        '0.0.0.0:3002:4002/tcp',
        '0.0.0.0:8443:443/tcp',
      ],
    );
    assert.deepEqual(dns.expose, ['8080', '9000-9002/udp']);
  });

  it('host port 0 asks for a free one, and one port may be on two addresses', () => {
    const { app } = resolveText('services: {a: {image: x, ports: ["0:80", "127.0.0.1:81:81", "[::]:81:81"]}}\n');
    assert.deepEqual(
      app.services[0]?.task.ports?.map(({ hostIp, hostPort }) => [hostIp, hostPort]),
      [
        ['0.0.0.0', 0],
        ['127.0.0.1', 81],
        ['::', 81],
      ],
    );
  });

  it('a number that is text is printed as it was written, so that the resolved file means the same', () => {
    const text = `services:
  web:
    image: x
    build: {context: ., args: {PYTHON: 3.10}}
    user: 0x10
    command: [sleep, 1.50, 0440]
    cpus: 0.50
    secrets: [{source: s, mode: 0440}]
secrets: {s: {environment: S}}
`;
    const environment = { S: '1' };
    const first = resolveText(text, { environment });
    const again = resolveText(documentYaml(first.document), { environment });
    const meant = ({ app: { services } }: typeof first) => services.map(({ source: _source, ...service }) => service);
    assert.deepEqual(meant(again), meant(first));
    const [web] = first.app.services;
    assert.deepEqual(
      [web?.build?.args.PYTHON, web?.task.user, web?.task.command, web?.task.limits?.cpus, web?.secrets[0]?.mode],
      ['3.10', '0x10', ['sleep', '1.50', '0440'], 0.5, 0o440],
    );
  });

  it('what the app says of all releases yields to a strategy of the service, and to a single writer', () => {
    const canary = '{strategy: canary, watch: 5s, canary: {steps: [5%]}}';
    const { app } = resolveText(
      `x-bulkhead: {release: ${canary}}\nservices:\n  web: {image: x}\n  api: {image: x, x-bulkhead: {release: {strategy: rolling}}}\n  db: {image: y, x-bulkhead: {single-writer: true}}\n`,
    );
    assert.deepEqual(
      app.services.map(({ release }) => [release.strategy, release.watchMs, release.canary?.steps.length]),
      [
        ['canary', 5000, 1],
        ['rolling', 5000, undefined],
        ['stop-first', 5000, undefined],
      ],
    );
  });

  it('an empty word is none, as where a variable with an empty default stands', () => {
    const body = 'user: "", hostname: "", working_dir: "", stop_signal: "", platform: ""';
    const [service] = resolveText(`services: {a: {image: x, ${body}}}\n`).app.services;
    assert.deepEqual([service?.task, service?.platform], [{ env: [] }, undefined]);
  });

  it('networks: external, internal, with a subnet and aliases', () => {
    const { app } = project('networks');
    assert.deepEqual(
      app.networks.map(({ source: _source, ...rest }) => rest),
      [
        { key: 'outside', name: 'edge', external: true, internal: false, labels: {} },
        {
          key: 'inside',
          name: `${app.name}_inside`,
          external: false,
          internal: true,
          subnet: '172.30.5.0/24',
          gateway: '172.30.5.1',
          labels: { zone: 'inner' },
        },
      ],
    );
    assert.deepEqual(service(app, 'app').networks[0]?.aliases, ['app', 'api', 'v1.api']);
    assert.deepEqual(service(app, 'proxy').task.extraHosts, ['api.local:10.1.2.3', 'gw:host-gateway']);
  });

  it('builds: context, Dockerfile, target and arguments', () => {
    const { app } = project('build');
    const built = service(app, 'app');
    assert.deepEqual(built.build, {
      context: `${ROOT}/src`,
      dockerfile: 'docker/Dockerfile.prod',
      target: 'runtime',
      args: { VERSION: '1.2.3', HTTP_PROXY: null },
      labels: { 'org.example.team': 'core' },
      tags: [],
      noCache: false,
      pull: false,
    });
    assert.equal(built.image, 'shop-app');
    assert.equal(instanceRequest(app, built).pull, 'never');
    assert.equal(service(app, 'inline').build?.dockerfileInline, 'FROM alpine:3\nRUN echo "${PATH}"\n');
  });

  it('what has no effect is said, with its place', () => {
    const { app, warnings } = project('observability');
    assert.deepEqual(
      warnings.map(({ at, message }) => `${at} ${message.split(':')[0]}`),
      [
        'docker-compose.yml:1:1 version has no effect',
        'docker-compose.yml:5:5 services.grafana.container_name has no effect',
        'docker-compose.yml:23:9 services.loki.deploy.placement has no effect',
      ],
    );
    assert.ok(service(app, 'grafana').task.env?.includes('GF_SERVER_ROOT_URL=http://localhost:3000'));
    assert.deepEqual(
      service(app, 'grafana').dependsOn.map((one) => one.service),
      ['loki'],
    );
    assert.deepEqual(service(app, 'loki').task.restart, { name: 'on-failure', maxRetries: 3 });
    assert.equal(service(app, 'loki').restartDelayMs, 5000);
  });

  it('commands are split as a shell splits them; hooks know their image and how often', () => {
    const { app } = project('django');
    const web = service(app, 'web');
    assert.deepEqual(web.task.command, [
      'sh',
      '-c',
      'python manage.py migrate &&\n       gunicorn shop.wsgi --bind 0.0.0.0:8000',
    ]);
    assert.deepEqual(web.task.env, [
      'DJANGO_SETTINGS_MODULE=shop.settings',
      'DEBUG=no',
      'WORKERS=4',
      'RATE=1.50',
      'SECRET_KEY=from the caller',
    ]);
    assert.equal(web.task.mounts?.[1]?.source, '/home/ann/cache');
    assert.deepEqual(
      web.preStart.map(({ perReplica, image }) => [perReplica, image]),
      [
        [false, undefined],
        [true, 'shop-tools'],
      ],
    );
    assert.ok(service(app, 'celery').task.env?.includes('QUEUE=default'));
    assert.deepEqual(service(project('quoting').app, 'q').task.command, [
      'echo',
      'single $HOME',
      'double "$USER"',
      'plain space',
    ]);
  });

  it('values that look like other types stay as they were written', () => {
    const { app } = project('quoting');
    assert.deepEqual(service(app, 'q').task.env, ['PRICE=5$', 'URL=http://a/x', 'EMPTY=', 'NUMBER=0777', 'YES=yes']);
    assert.deepEqual(service(app, 'q').task.labels, { 'a.b': 'c=d', n: '1', t: 'true' });
  });

  it('Swarm’s deploy keys, and an external volume with a single writer', () => {
    const { app } = project('swarmlike');
    assert.deepEqual(service(app, 'vote').update, {
      parallelism: 2,
      delayMs: 10_000,
      monitorMs: 0,
      maxFailureRatio: 0.2,
      failureAction: 'rollback',
      order: 'stop-first',
    });
    assert.equal(service(app, 'agent').global, true);
    assert.equal(service(app, 'db').singleWriter, true);
    assert.equal(service(app, 'db').task.mounts?.[0]?.source, 'legacy_pg');
  });

  it('health probes, wildcard hosts and batches', () => {
    const { app } = project('gateway');
    const grpc = service(app, 'grpc');
    assert.deepEqual(grpc.healthProbe, { kind: 'grpc', port: 50051, service: 'shop.Cart' });
    assert.equal(grpc.ingress[0]?.host, '*.example.com');
    assert.deepEqual(grpc.release, { strategy: 'blue-green', batch: { share: 0.5 } });
    assert.deepEqual(service(app, 'plain').healthProbe, { kind: 'runs-for', durationMs: 10_000 });
  });
});

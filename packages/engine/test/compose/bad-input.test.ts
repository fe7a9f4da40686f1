/** What a user gets wrong is refused at its line and column, by its name, with a way out. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is Compose's own syntax.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mistakeOf } from './project.ts';

/** A file with one service, whose further keys are `body`. */
const s = (body: string) =>
  `services:\n  web:\n    image: nginx\n${body
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n')}\n`;

/** What is wrong, the file or files, the code, and `file:line:column: message`. */
const CASES: [string, string | Record<string, string>, string, string][] = [
  ['an empty file', '', 'compose_invalid', 'compose.yaml:1:1: the file is empty'],
  ['no service', 'name: shop\n', 'compose_invalid', 'compose.yaml:1:1: there is no service'],
  [
    'a list at the top',
    '- services\n',
    'compose_invalid',
    'compose.yaml:1:1: a Compose file is a list, but it takes a mapping',
  ],
  [
    'broken YAML',
    'services:\n  web: [nginx\n',
    'compose_invalid',
    'compose.yaml:3:1: this is not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]',
  ],
  [
    'tabs',
    'services:\n\tweb:\n\t\timage: nginx\n',
    'compose_invalid',
    'compose.yaml:2:1: this is not valid YAML: Tabs are not allowed as indentation',
  ],
  [
    'a key twice',
    s('image: other'),
    'compose_invalid',
    'compose.yaml:4:5: the key "image" is already given at compose.yaml:3:5',
  ],
  [
    'a second document',
    'services: {web: {image: nginx}}\n---\nservices: {}\n',
    'compose_invalid',
    'compose.yaml:2:1: a second YAML document begins here',
  ],
  [
    'an unknown anchor',
    'services:\n  web: *base\n',
    'compose_invalid',
    'compose.yaml:2:8: there is no anchor &base before this',
  ],
  [
    'an anchor of itself',
    'services: &a\n  web: *a\n',
    'compose_invalid',
    'compose.yaml:2:3: this is nested more than 64 deep',
  ],
  [
    'a merge key that merges no mapping',
    'x-a: &a text\nservices:\n  web:\n    <<: *a\n',
    'compose_invalid',
    'compose.yaml:4:5: << takes a mapping or a list of mappings',
  ],
  [
    'an unknown tag',
    s('user: !secret root'),
    'compose_invalid',
    'compose.yaml:4:19: there is no tag !secret in Compose',
  ],
  [
    'an unknown key at the top',
    'service:\n  web: {}\n',
    'compose_invalid',
    'compose.yaml:1:1: there is no key "service" at the top of a Compose file; did you mean services?',
  ],
  [
    'an unknown key of a service',
    s('enviroment: {A: 1}'),
    'compose_invalid',
    'compose.yaml:4:5: there is no key "enviroment" in services.web; did you mean environment?',
  ],
  [
    'an unknown key deep down',
    s('deploy:\n  resources:\n    limit: {cpus: 1}'),
    'compose_invalid',
    'compose.yaml:6:9: there is no key "limit" in services.web.deploy.resources; did you mean limits?',
  ],
  [
    'an unknown key under x-bulkhead',
    s('x-bulkhead: {ingres: []}'),
    'compose_invalid',
    'compose.yaml:4:18: there is no key "ingres" in services.web.x-bulkhead; did you mean ingress?',
  ],
  [
    'a key that is refused by name',
    s('pid: host'),
    'compose_unsupported',
    'compose.yaml:4:5: services.web.pid is not supported',
  ],
  ['another', s('gpus: all'), 'compose_unsupported', 'compose.yaml:4:5: services.web.gpus is not supported'],
  [
    'a refused key in a long form',
    s('networks:\n  default: {ipv4_address: 10.0.0.5}'),
    'compose_unsupported',
    'compose.yaml:5:17: services.web.networks.default.ipv4_address is not supported',
  ],
  [
    'a mapping where a list is expected',
    s('ports: {80: 80}'),
    'compose_invalid',
    'compose.yaml:4:12: services.web.ports is a mapping, but it takes a list',
  ],
  [
    'a text where a list is expected',
    s('volumes: data:/data'),
    'compose_invalid',
    'compose.yaml:4:14: services.web.volumes is "data:/data", but it takes a list',
  ],
  [
    'a list where a mapping is expected',
    'services:\n  - web\n',
    'compose_invalid',
    'compose.yaml:2:3: services is a list, but it takes a mapping',
  ],
  [
    'a list where text is expected',
    s('working_dir: [a]'),
    'compose_invalid',
    'compose.yaml:4:18: services.web.working_dir is a list, but it takes text, a number or true or false',
  ],
  [
    'a bad service name',
    'services:\n  "my web":\n    image: nginx\n',
    'compose_invalid',
    'compose.yaml:2:3: "my web" cannot be a name in services',
  ],
  [
    'a bad app name',
    'name: My Shop\nservices: {web: {image: nginx}}\n',
    'compose_invalid',
    'compose.yaml:1:7: name cannot be "My Shop"',
  ],
  [
    'neither image nor build',
    'services:\n  web:\n    command: run\n',
    'compose_invalid',
    'compose.yaml:2:3: the service web has neither image nor build',
  ],
  [
    'a bad restart policy',
    s('restart: allways'),
    'compose_invalid',
    'compose.yaml:4:14: services.web.restart cannot be "allways"; did you mean always?',
  ],
  [
    'a bad isolation level',
    s('isolation: gvizor'),
    'compose_invalid',
    'compose.yaml:4:16: services.web.isolation cannot be "gvizor"; did you mean gvisor?',
  ],
  [
    'a bad trust',
    s('x-bulkhead:\n  trust: untrust'),
    'compose_invalid',
    'compose.yaml:5:14: services.web.x-bulkhead.trust cannot be "untrust"; did you mean untrusted?',
  ],
  [
    'a port out of range',
    s('ports:\n  - "80:80"\n  - "70000:80"'),
    'compose_invalid',
    'compose.yaml:6:9: the port mapping "70000:80" is wrong: the port 70000 is not from 1 to 65535',
  ],
  [
    'ranges that differ',
    s('ports: ["8000-8002:80-81"]'),
    'compose_invalid',
    'compose.yaml:4:13: the port mapping "8000-8002:80-81" is wrong: its ranges differ in length',
  ],
  [
    'an unknown protocol',
    s('ports: ["53:53/icmp"]'),
    'compose_invalid',
    'compose.yaml:4:13: the port mapping "53:53/icmp" is wrong: there is no protocol "icmp"',
  ],
  [
    'no port at all',
    s('ports: ["web"]'),
    'compose_invalid',
    'compose.yaml:4:13: the port mapping "web" is wrong: "web" is not a port',
  ],
  [
    'a long port without target',
    s('ports: [{published: 80}]'),
    'compose_invalid',
    'compose.yaml:4:13: services.web.ports[0] lacks target',
  ],
  [
    'two services on one host port',
    'services:\n  a: {image: x, ports: ["80:80"]}\n  b: {image: x, ports: ["80:81"]}\n',
    'compose_invalid',
    'compose.yaml:3:25: the host port 80/tcp is already published by a at compose.yaml:2:25',
  ],
  [
    'a volume with a relative target',
    s('volumes:\n  - data:data'),
    'compose_invalid',
    'compose.yaml:5:9: the volume "data:data" is wrong: the target "data" is not an absolute path',
  ],
  [
    'a volume option',
    s('volumes: ["./a:/a:readonly"]'),
    'compose_invalid',
    'compose.yaml:4:15: the volume "./a:/a:readonly" is wrong: there is no option "readonly"',
  ],
  [
    'a volume that is not declared',
    s('volumes: ["data:/data"]'),
    'compose_invalid',
    'compose.yaml:4:15: the volume data is not declared',
  ],
  [
    'a volume driver',
    'services: {web: {image: nginx}}\nvolumes:\n  data:\n    driver: nfs\n',
    'compose_unsupported',
    'compose.yaml:4:13: the volume driver "nfs" is not supported',
  ],
  [
    'a network that is not declared',
    s('networks: [front]'),
    'compose_invalid',
    'compose.yaml:4:16: the network front is not declared',
  ],
  [
    'network_mode of another service',
    s('network_mode: service:db'),
    'compose_unsupported',
    'compose.yaml:4:19: network_mode "service:db" is not supported',
  ],
  [
    'a subnet that is none',
    'services: {web: {image: nginx}}\nnetworks:\n  front:\n    ipam: {config: [{subnet: 10.0.0.0/40}]}\n',
    'compose_invalid',
    'compose.yaml:4:30: "10.0.0.0/40" is not an IPv4 subnet',
  ],
  [
    'a secret that is not declared',
    s('secrets: [pw]'),
    'compose_invalid',
    'compose.yaml:4:15: the secret pw is not declared',
  ],
  [
    'a secret without a source',
    'services: {web: {image: nginx}}\nsecrets:\n  pw: {}\n',
    'compose_invalid',
    'compose.yaml:3:3: the secret pw has no source',
  ],
  [
    'a secret with two sources',
    'services: {web: {image: nginx}}\nsecrets:\n  pw:\n    file: a\n    environment: B\n',
    'compose_invalid',
    'compose.yaml:5:5: the secret pw has both file and environment',
  ],
  [
    'a secret file that is not there',
    { 'compose.yaml': s('secrets: [pw]') + 'secrets:\n  pw: {file: ./pw.txt}\n' },
    'compose_file_missing',
    'compose.yaml:6:3: the file pw.txt of the secret pw does not exist',
  ],
  [
    'a secret from a variable that is not set',
    s('secrets: [pw]') + 'secrets:\n  pw: {environment: PW}\n',
    'compose_variable',
    'compose.yaml:6:3: the secret pw is to come from the variable PW, which is not set',
  ],
  [
    'a dependency that is not there',
    s('depends_on:\n  db: {condition: service_healthy}'),
    'compose_invalid',
    'compose.yaml:5:11: the service web depends on db, which is not there',
  ],
  [
    'a condition that is none',
    s('depends_on:\n  db: {condition: healthy}'),
    'compose_invalid',
    'compose.yaml:5:23: services.web.depends_on.db.condition cannot be "healthy"',
  ],
  [
    'a circle of dependencies',
    'services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n',
    'compose_invalid',
    'compose.yaml:2:3: depends_on goes in a circle: a -> b -> a',
  ],
  ['a size', s('mem_limit: lots'), 'compose_invalid', 'compose.yaml:4:16: the memory limit "lots" is not a size'],
  [
    'a duration',
    s('stop_grace_period: 10 seconds'),
    'compose_invalid',
    'compose.yaml:4:24: stop_grace_period "10 seconds" is not a duration',
  ],
  [
    'a number',
    s('deploy: {replicas: many}'),
    'compose_invalid',
    'compose.yaml:4:24: the number of replicas "many" is not a whole number',
  ],
  [
    'a negative number',
    s('deploy: {replicas: -1}'),
    'compose_invalid',
    'compose.yaml:4:24: the number of replicas "-1" is out of range',
  ],
  [
    'two limits that contradict',
    s('mem_limit: 1g\ndeploy: {resources: {limits: {memory: 2g}}}'),
    'compose_invalid',
    'compose.yaml:4:16: mem_limit 1g and deploy.resources.limits.memory 2g (compose.yaml:5:43) contradict each other',
  ],
  [
    'a health check without its kind',
    s('healthcheck: {test: [curl, localhost]}'),
    'compose_invalid',
    'compose.yaml:4:26: healthcheck.test begins with "curl"',
  ],
  ['a flag', s('init: maybe'), 'compose_invalid', 'compose.yaml:4:11: "maybe" is neither true nor false'],
  [
    'a mode',
    s('secrets: [{source: pw, mode: 999}]') + 'secrets:\n  pw: {external: true}\n',
    'compose_invalid',
    'compose.yaml:4:34: the mode "999" is not octal',
  ],
  [
    'a log driver',
    s('logging: {driver: syslog}'),
    'compose_unsupported',
    'compose.yaml:4:23: the log driver "syslog" is not supported',
  ],
  [
    'a security option',
    s('security_opt: ["seccomp:unconfined"]'),
    'compose_unsupported',
    'compose.yaml:4:20: security_opt "seccomp:unconfined" is not supported',
  ],
  [
    'a variable with a bad name',
    s('command: echo ${1A}'),
    'compose_variable',
    'compose.yaml:4:19: after ${ comes the name of a variable',
  ],
  [
    'a brace that is not closed',
    s('command: echo "${A:-b"'),
    'compose_variable',
    'compose.yaml:4:20: the brace of ${ is not closed',
  ],
  ['a lone dollar sign', s("command: 'price 5$'"), 'compose_variable', 'compose.yaml:4:22: "$" begins no variable'],
  [
    'a required variable',
    s('user: ${APP_USER:?who runs it}'),
    'compose_variable',
    'compose.yaml:4:11: the variable APP_USER is not set: who runs it',
  ],
  [
    'an operator that is none',
    s('user: ${A=b}'),
    'compose_variable',
    'compose.yaml:4:14: "=" cannot follow the name A here',
  ],
  [
    'a quote in a command',
    s("command: echo 'a"),
    'compose_invalid',
    "compose.yaml:4:19: the quote ' in this command is not closed",
  ],
  [
    'an env_file that is not there',
    s('env_file:\n  - app.env'),
    'compose_file_missing',
    'compose.yaml:5:9: there is no environment file app.env',
  ],
  [
    'a line of an env_file',
    { 'compose.yaml': s('env_file: app.env'), 'app.env': 'A=1\n\n=2\n' },
    'compose_invalid',
    'app.env:3:1: "=2" is not NAME=VALUE',
  ],
  [
    'a quote in an env_file',
    { 'compose.yaml': s('env_file: app.env'), 'app.env': 'A="1\nB=2\n' },
    'compose_invalid',
    'app.env:1:3: the quote " of A is not closed',
  ],
  [
    'a mistake in .env',
    { 'compose.yaml': s('user: "1"'), '.env': 'A B=1\n' },
    'compose_invalid',
    '.env:1:3: after the name A comes =',
  ],
  [
    'extends of nobody',
    s('extends: {service: base}'),
    'compose_invalid',
    'compose.yaml:4:14: extends names the service "base", which is not in compose.yaml',
  ],
  [
    'extends in a circle',
    'services:\n  a: {extends: b}\n  b: {extends: a}\n',
    'compose_invalid',
    'compose.yaml:2:16: extends goes in a circle: compose.yaml: a -> compose.yaml: b -> compose.yaml: a',
  ],
  [
    'extends of a file that is not there',
    s('extends: {service: base, file: base.yaml}'),
    'compose_file_missing',
    'compose.yaml:4:36: there is no file base.yaml',
  ],
  [
    'a mistake in a file that is extended',
    {
      'compose.yaml': s('extends: {service: base, file: lib/base.yaml}'),
      'lib/base.yaml': 'services:\n  base:\n    imag: nginx\n',
    },
    'compose_invalid',
    'lib/base.yaml:3:5: there is no key "imag" in services.base; did you mean image?',
  ],
  [
    'include of a file that is not there',
    'include:\n  - db.yaml\nservices: {web: {image: nginx}}\n',
    'compose_file_missing',
    'compose.yaml:2:5: there is no file db.yaml',
  ],
  [
    'include in a circle',
    { 'compose.yaml': 'include: [b.yaml]\nservices: {web: {image: nginx}}\n', 'b.yaml': 'include: [compose.yaml]\n' },
    'compose_invalid',
    'b.yaml:1:11: include goes in a circle: compose.yaml -> b.yaml -> compose.yaml',
  ],
  [
    'include from the network',
    'include:\n  - https://example.com/compose.yaml\nservices: {web: {image: nginx}}\n',
    'compose_unsupported',
    'compose.yaml:2:5: include of https://example.com/compose.yaml is not supported',
  ],
  [
    'an included name that is taken',
    {
      'compose.yaml': 'include: [b.yaml]\nservices:\n  web: {image: nginx}\n',
      'b.yaml': 'services:\n  web: {image: apache}\n',
    },
    'compose_invalid',
    'compose.yaml:1:11: services.web is included here and defined at compose.yaml:3:8',
  ],
  [
    'replicas of a single writer',
    s('deploy: {replicas: 2}\nx-bulkhead: {single-writer: true}'),
    'compose_invalid',
    'compose.yaml:4:24: 2 replicas cannot share a single-writer service or volume',
  ],
  [
    'replicas on a single-writer volume',
    s('deploy: {replicas: 2}\nvolumes: ["data:/data"]') + 'volumes:\n  data: {x-bulkhead: {single-writer: true}}\n',
    'compose_invalid',
    'compose.yaml:4:24: 2 replicas cannot share a single-writer service or volume',
  ],
  [
    'an ingress host with a scheme',
    s('x-bulkhead: {ingress: {host: "https://a.example", port: 80}}'),
    'compose_invalid',
    'compose.yaml:4:34: the ingress host "https://a.example" is not a host name',
  ],
  [
    'an ingress without a port',
    s('x-bulkhead: {ingress: {host: a.example}}'),
    'compose_invalid',
    'compose.yaml:4:27: services.web.x-bulkhead.ingress lacks port',
  ],
  [
    'TLS without a host',
    s('x-bulkhead: {ingress: {port: 80, tls: true}}'),
    'compose_invalid',
    'compose.yaml:4:27: ingress with tls lacks a host',
  ],
  [
    'a strategy',
    s('x-bulkhead: {release: {strategy: bluegreen}}'),
    'compose_invalid',
    'compose.yaml:4:38: services.web.x-bulkhead.release.strategy cannot be "bluegreen"; did you mean blue-green?',
  ],
  [
    'canary steps that fall',
    s('x-bulkhead: {release: {strategy: canary, canary: {steps: [50%, 10%]}}}'),
    'compose_invalid',
    'compose.yaml:4:68: canary steps must rise, but 0.1 follows 0.5',
  ],
  [
    'a cron schedule',
    s('x-bulkhead: {job: {when: cron, schedule: "every day"}}'),
    'compose_invalid',
    'compose.yaml:4:46: the schedule "every day" is not a cron schedule',
  ],
  [
    'two health probes',
    s('x-bulkhead: {health: {tcp: {port: 1}, http: {port: 2}}}'),
    'compose_invalid',
    'compose.yaml:4:43: health has both tcp and http',
  ],
  [
    'an egress destination',
    s('x-bulkhead: {egress: ["https://api.example.com/"]}'),
    'compose_invalid',
    'compose.yaml:4:27: the egress destination "https://api.example.com/" is not one',
  ],
  [
    'a link with another name',
    'services:\n  db: {image: x}\n  web: {image: x, links: ["db:database"]}\n',
    'compose_unsupported',
    'compose.yaml:3:27: a link cannot give db the other name database',
  ],
  [
    'a bad variable name',
    s('environment: ["=1"]'),
    'compose_invalid',
    'compose.yaml:4:19: "" cannot be the name of a variable',
  ],
  [
    'a hook without a command',
    s('pre_stop:\n  - user: root'),
    'compose_invalid',
    'compose.yaml:5:9: services.web.pre_stop[0] lacks command',
  ],
  [
    'a build without a context',
    'services:\n  web:\n    build: {target: app}\n',
    'compose_invalid',
    'compose.yaml:3:12: build lacks its context',
  ],
  [
    'a key that is a word of JavaScript',
    s('constructor: x'),
    'compose_invalid',
    'compose.yaml:4:5: there is no key "constructor" in services.web',
  ],
  [
    'brackets without end',
    `a: ${'['.repeat(200_000)}`,
    'compose_invalid',
    'compose.yaml:1:1: this is nested more than 64 deep',
  ],
  [
    'variables without end',
    s(`user: ${'${A:-'.repeat(5000)}`),
    'compose_variable',
    'compose.yaml:4:331: variables are nested more than 64 deep',
  ],
  [
    'aliases of aliases of aliases',
    `a: &a [x,x,x,x,x,x,x,x,x,x]\n${'bcdefgh'
      .split('')
      .map((name, index) => `${name}: &${name} [${Array(10).fill(`*${'abcdefg'[index]}`).join(',')}]`)
      .join('\n')}\n`,
    'compose_invalid',
    'compose.yaml:1:18: the file has more than 200000 values once its aliases are resolved',
  ],
  [
    'a host port taken on all addresses',
    'services:\n  a: {image: x, ports: ["80:80"]}\n  b: {image: x, ports: ["127.0.0.1:80:81"]}\n',
    'compose_invalid',
    'compose.yaml:3:25: the host port 80/tcp is already published by a at compose.yaml:2:25',
  ],
  [
    'a host port twice in one service',
    s('ports: ["80:80", "80:81"]'),
    'compose_invalid',
    'compose.yaml:4:22: the host port 80/tcp is already published by web at compose.yaml:4:13',
  ],
  [
    'an image that cannot be',
    'services: {web: {image: nginx:lat est}}\n',
    'compose_invalid',
    'compose.yaml:1:25: "nginx:lat est" is not an image reference',
  ],
  ['an empty image', "services: {web: {image: ''}}\n", 'compose_invalid', 'compose.yaml:1:25: the image is empty'],
  [
    'another platform',
    s('platform: windows/amd64'),
    'compose_unsupported',
    'compose.yaml:4:15: the platform "windows/amd64" is not supported',
  ],
  [
    'a signal that is none',
    s('stop_signal: SIGWAT'),
    'compose_invalid',
    'compose.yaml:4:18: there is no signal "SIGWAT"',
  ],
  ['a host name with a space', s('hostname: a b'), 'compose_invalid', 'compose.yaml:4:15: "a b" cannot be a hostname'],
  [
    'a relative working directory',
    s('working_dir: src'),
    'compose_invalid',
    'compose.yaml:4:18: the working directory "src" is not an absolute path',
  ],
  [
    'an unknown capability',
    s('cap_add:\n  - NET_RAW\n  - NET_ADMN'),
    'compose_invalid',
    'compose.yaml:6:9: there is no capability "NET_ADMN"',
  ],
  [
    'an unknown ulimit',
    s('ulimits: {nofiles: 5}'),
    'compose_invalid',
    'compose.yaml:4:15: there is no ulimit "nofiles"',
  ],
  [
    'a soft limit above the hard one',
    s('ulimits: {nofile: {soft: 3, hard: 2}}'),
    'compose_invalid',
    'compose.yaml:4:15: ulimit nofile: soft 3 is above hard 2',
  ],
  [
    'a sysctl of the host',
    s('sysctls: {kernel.panic: 1}'),
    'compose_unsupported',
    'compose.yaml:4:15: the sysctl "kernel.panic" is not one an instance has of its own',
  ],
  [
    'a DNS server without address',
    s('dns: [1.1.1.1, resolver]'),
    'compose_invalid',
    'compose.yaml:4:20: the DNS server "resolver" is no address',
  ],
  [
    'an extra host without address',
    s('extra_hosts: {db: nowhere}'),
    'compose_invalid',
    'compose.yaml:4:23: the extra host "db:nowhere" is not NAME:ADDRESS',
  ],
  [
    'a volume over the whole root',
    s('volumes: [".:/"]'),
    'compose_invalid',
    'compose.yaml:4:15: the mount target "/" is the root itself',
  ],
  [
    'a volume over /proc',
    s('volumes: [{type: bind, source: ., target: /proc/x}]'),
    'compose_invalid',
    'compose.yaml:4:47: the mount target "/proc/x" belongs to the system',
  ],
  [
    'a memory limit nothing fits in',
    s('deploy: {resources: {limits: {memory: 1m}}}'),
    'compose_invalid',
    'compose.yaml:4:43: memory 1048576 is below the minimum of 6m',
  ],
  [
    'a cpuset backwards',
    s('cpuset: 3-1'),
    'compose_invalid',
    'compose.yaml:4:13: cpuset "3-1" is not a list like 0-2,4',
  ],
  ['privileged', s('privileged: true'), 'compose_unsupported', 'compose.yaml:4:17: privileged is not supported'],
  [
    'a device',
    s('devices: [/dev/fuse]'),
    'compose_unsupported',
    'compose.yaml:4:15: a device of the host is not supported',
  ],
  [
    "the host's network",
    s('network_mode: host'),
    'compose_unsupported',
    'compose.yaml:4:19: network_mode "host" is not supported',
  ],
  [
    'propagation in the short form',
    s('volumes: [".:/a:rshared"]'),
    'compose_unsupported',
    'compose.yaml:4:15: bind propagation rshared is not supported',
  ],
  [
    'nocopy',
    `${s('volumes: ["data:/a:nocopy"]')}volumes: {data: {}}\n`,
    'compose_unsupported',
    'compose.yaml:4:15: nocopy is not supported',
  ],
  [
    'a tmpfs with an owner',
    s('tmpfs: /run:uid=5'),
    'compose_unsupported',
    'compose.yaml:4:12: the tmpfs option "uid" is not supported',
  ],
  [
    'times of a health check without a test',
    s('healthcheck: {interval: 5s}'),
    'compose_unsupported',
    'compose.yaml:4:19: healthcheck has interval but no test',
  ],
  [
    'attempts that would not count',
    s('deploy: {restart_policy: {max_attempts: 3}}'),
    'compose_unsupported',
    'compose.yaml:4:45: max_attempts counts only with the condition on-failure, here it is any',
  ],
  [
    "Swarm's jobs",
    s('deploy: {mode: replicated-job}'),
    'compose_unsupported',
    'compose.yaml:4:20: deploy.mode replicated-job is not supported',
  ],
  [
    'replicas of a global service',
    s('deploy: {mode: global, replicas: 2}'),
    'compose_invalid',
    'compose.yaml:4:38: deploy.mode global is one instance, not 2',
  ],
  [
    'a gateway outside its subnet',
    'services: {web: {image: x}}\nnetworks:\n  n: {ipam: {config: [{subnet: 10.1.0.0/16, gateway: 10.2.0.1}]}}\n',
    'compose_invalid',
    'compose.yaml:3:54: the gateway "10.2.0.1" is not an address of the subnet',
  ],
  [
    'a pull policy with a strange age',
    s('pull_policy: every_moon'),
    'compose_invalid',
    'compose.yaml:4:18: services.web.pull_policy cannot be "every_moon"',
  ],
];

describe('a wrong Compose file', () => {
  for (const [name, files, code, expected] of CASES) {
    it(`is refused: ${name}`, () => {
      const found = mistakeOf(typeof files === 'string' ? { 'compose.yaml': files } : files);
      assert.equal(`${found.at}: ${found.message}`, expected);
      assert.equal(found.code, code);
      assert.ok(found.hint.length > 10, 'there is a way out');
    });
  }
});

/** Shapes of every request and answer of the API, as TypeBox schemas (JSON Schema 2020-12). Import values from here only where validation happens; elsewhere `import type` from `types.ts`. */
import Type from 'typebox';

const Strings = Type.Array(Type.String());
const StringMap = Type.Record(Type.String(), Type.String());

export const LevelSchema = Type.Union([
  Type.Literal('container'),
  Type.Literal('gvisor'),
  Type.Literal('microvm'),
  Type.Literal('vm'),
]);
export const TrustSchema = Type.Union([Type.Literal('trusted'), Type.Literal('untrusted')]);

export const PortSchema = Type.Object(
  {
    hostIp: Type.Optional(Type.String()),
    hostPort: Type.Optional(Type.Integer({ minimum: 0, maximum: 65535 })),
    port: Type.Integer({ minimum: 1, maximum: 65535 }),
    protocol: Type.Optional(Type.Union([Type.Literal('tcp'), Type.Literal('udp')])),
  },
  { additionalProperties: false },
);
export const MountSchema = Type.Object(
  {
    type: Type.Union([Type.Literal('bind'), Type.Literal('volume'), Type.Literal('tmpfs')]),
    source: Type.Optional(Type.String()),
    target: Type.String(),
    readOnly: Type.Optional(Type.Boolean()),
    sizeBytes: Type.Optional(Type.Integer({ minimum: 4096 })),
    mode: Type.Optional(Type.Integer()),
  },
  { additionalProperties: false },
);
export const LimitsSchema = Type.Object(
  {
    memoryBytes: Type.Optional(Type.Integer({ minimum: 0 })),
    cpus: Type.Optional(Type.Number({ minimum: 0 })),
    pids: Type.Optional(Type.Integer()),
    diskBytes: Type.Optional(Type.Integer({ minimum: 0 })),
    cpuShares: Type.Optional(Type.Integer({ minimum: 0 })),
    cpusetCpus: Type.Optional(Type.String()),
  },
  { additionalProperties: false },
);
export const RestartSchema = Type.Object(
  {
    name: Type.Union([
      Type.Literal('no'),
      Type.Literal('always'),
      Type.Literal('on-failure'),
      Type.Literal('unless-stopped'),
    ]),
    maxRetries: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  { additionalProperties: false },
);
export const HealthCheckSchema = Type.Object(
  {
    test: Strings,
    intervalMs: Type.Optional(Type.Integer({ minimum: 1 })),
    timeoutMs: Type.Optional(Type.Integer({ minimum: 1 })),
    startPeriodMs: Type.Optional(Type.Integer({ minimum: 0 })),
    retries: Type.Optional(Type.Integer({ minimum: 1 })),
  },
  { additionalProperties: false },
);

/** Body of `POST /v1/instances`; also of `POST /v1/explain`. */
export const CreateInstanceSchema = Type.Object(
  {
    image: Type.String({ minLength: 1 }),
    name: Type.Optional(Type.String()),
    /** Start it at once. */
    start: Type.Optional(Type.Boolean()),
    /** `missing` (default) | `always` | `never`. */
    pull: Type.Optional(Type.Union([Type.Literal('missing'), Type.Literal('always'), Type.Literal('never')])),
    command: Type.Optional(Strings),
    entrypoint: Type.Optional(Strings),
    env: Type.Optional(Strings),
    workdir: Type.Optional(Type.String()),
    user: Type.Optional(Type.String()),
    groupAdd: Type.Optional(Strings),
    hostname: Type.Optional(Type.String()),
    domainname: Type.Optional(Type.String()),
    labels: Type.Optional(StringMap),
    tty: Type.Optional(Type.Boolean()),
    openStdin: Type.Optional(Type.Boolean()),
    limits: Type.Optional(LimitsSchema),
    mounts: Type.Optional(Type.Array(MountSchema)),
    readOnlyRoot: Type.Optional(Type.Boolean()),
    ports: Type.Optional(Type.Array(PortSchema)),
    publishAll: Type.Optional(Type.Boolean()),
    network: Type.Optional(Type.String()),
    networkAliases: Type.Optional(Strings),
    extraHosts: Type.Optional(Strings),
    dns: Type.Optional(Strings),
    dnsSearch: Type.Optional(Strings),
    restart: Type.Optional(RestartSchema),
    healthCheck: Type.Optional(HealthCheckSchema),
    stopSignal: Type.Optional(Type.String()),
    stopTimeoutMs: Type.Optional(Type.Integer({ minimum: 0 })),
    init: Type.Optional(Type.Boolean()),
    capAdd: Type.Optional(Strings),
    capDrop: Type.Optional(Strings),
    privileged: Type.Optional(Type.Boolean()),
    devices: Type.Optional(Strings),
    sysctls: Type.Optional(StringMap),
    ulimits: Type.Optional(
      Type.Array(
        Type.Object(
          { name: Type.String(), soft: Type.Integer(), hard: Type.Integer() },
          { additionalProperties: false },
        ),
      ),
    ),
    shmSizeBytes: Type.Optional(Type.Integer({ minimum: 0 })),
    autoRemove: Type.Optional(Type.Boolean()),
    log: Type.Optional(
      Type.Object(
        {
          maxSizeBytes: Type.Optional(Type.Integer({ minimum: 4096 })),
          maxFiles: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
        },
        { additionalProperties: false },
      ),
    ),
    isolation: Type.Optional(LevelSchema),
    trust: Type.Optional(TrustSchema),
  },
  { additionalProperties: false },
);

export const ReasonSchema = Type.Object({
  rule: Type.String(),
  source: Type.String(),
  minimum: LevelSchema,
  message: Type.String(),
});
export const DecisionSchema = Type.Object({
  level: LevelSchema,
  minimum: LevelSchema,
  asked: Type.Optional(LevelSchema),
  reasons: Type.Array(ReasonSchema),
});

/** One row of `ps` and the head of `inspect`. Times are Unix milliseconds. */
export const InstanceSummarySchema = Type.Object({
  id: Type.String(),
  name: Type.String(),
  image: Type.String(),
  imageId: Type.String(),
  command: Strings,
  level: LevelSchema,
  trust: TrustSchema,
  state: Type.String(),
  health: Type.String(),
  exitCode: Type.Optional(Type.Integer()),
  oomKilled: Type.Boolean(),
  error: Type.Optional(Type.String()),
  restartCount: Type.Integer(),
  ports: Type.Array(PortSchema),
  networks: Strings,
  ip: Type.Optional(Type.String()),
  labels: StringMap,
  mounts: Strings,
  createdAt: Type.Number(),
  startedAt: Type.Optional(Type.Number()),
  finishedAt: Type.Optional(Type.Number()),
});
/** `inspect`: the summary, the spec in force, the decision, what the driver says. */
export const InstanceDetailSchema = Type.Object({
  summary: InstanceSummarySchema,
  spec: Type.Unknown(),
  process: Type.Object({ args: Strings, env: Strings, cwd: Type.String(), user: Type.String() }),
  decision: DecisionSchema,
  driver: StringMap,
  logPath: Type.String(),
  lease: Type.Optional(Type.Unknown()),
});
export const StatsSchema = Type.Object({
  id: Type.String(),
  name: Type.String(),
  level: LevelSchema,
  at: Type.Number(),
  cpuPercent: Type.Number(),
  memoryBytes: Type.Number(),
  memoryLimitBytes: Type.Number(),
  pids: Type.Number(),
  networkReceivedBytes: Type.Number(),
  networkSentBytes: Type.Number(),
  blockReadBytes: Type.Number(),
  blockWrittenBytes: Type.Number(),
});
export const ExecCreateSchema = Type.Object(
  {
    command: Type.Array(Type.String(), { minItems: 1 }),
    env: Type.Optional(Strings),
    workdir: Type.Optional(Type.String()),
    user: Type.Optional(Type.String()),
    tty: Type.Optional(Type.Boolean()),
    openStdin: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);
export const ImageSummarySchema = Type.Object({
  id: Type.String(),
  tags: Strings,
  repoDigests: Strings,
  architecture: Type.String(),
  os: Type.String(),
  createdAt: Type.Number(),
  sizeBytes: Type.Number(),
  layers: Strings,
  config: Type.Unknown(),
});
export const ProgressSchema = Type.Object({
  phase: Type.String(),
  layer: Type.Optional(Type.String()),
  currentBytes: Type.Optional(Type.Number()),
  totalBytes: Type.Optional(Type.Number()),
  message: Type.Optional(Type.String()),
});
export const VolumeSchema = Type.Object({
  name: Type.String(),
  path: Type.String(),
  labels: StringMap,
  createdAt: Type.Number(),
  anonymous: Type.Boolean(),
});
export const NetworkSchema = Type.Object({
  id: Type.String(),
  name: Type.String(),
  subnet: Type.String(),
  gateway: Type.String(),
  bridge: Type.String(),
  internal: Type.Boolean(),
  labels: StringMap,
  createdAt: Type.Number(),
});
export const EventSchema = Type.Object({
  seq: Type.Integer(),
  at: Type.Number(),
  type: Type.String(),
  action: Type.String(),
  id: Type.String(),
  attributes: StringMap,
});
export const CheckSchema = Type.Object({
  name: Type.String(),
  status: Type.Union([Type.Literal('ok'), Type.Literal('warning'), Type.Literal('failed')]),
  found: Type.String(),
  means: Type.String(),
  fix: Type.Optional(Type.String()),
});
export const LevelReportSchema = Type.Object({
  level: LevelSchema,
  available: Type.Boolean(),
  holds: Type.String(),
  reason: Type.Optional(Type.String()),
  fix: Type.Optional(Type.String()),
  detail: StringMap,
});
export const DoctorSchema = Type.Object({ checks: Type.Array(CheckSchema), levels: Type.Array(LevelReportSchema) });
export const ErrorSchema = Type.Object({
  code: Type.String(),
  message: Type.String(),
  hint: Type.String(),
  at: Type.Optional(Type.String()),
});
/** `explain`: facts as CEL sees them, every rule with its verdict, and the decision. */
export const ExplanationSchema = Type.Object({
  subject: Type.String(),
  facts: Type.Unknown(),
  rules: Type.Array(
    Type.Object({
      rule: Type.String(),
      source: Type.String(),
      condition: Type.String(),
      matched: Type.Boolean(),
      minimum: LevelSchema,
    }),
  ),
  decision: Type.Optional(DecisionSchema),
  refusal: Type.Optional(ErrorSchema),
});
/** Body of `compose/resolve` and `compose/explain`: the files handed over so far; the engine says which it still needs. */
export const ComposeRequestSchema = Type.Object(
  {
    /** By absolute path: the text, base64 of bytes that are no text, or null where there is no such file. */
    files: Type.Record(
      Type.String(),
      Type.Union([Type.String(), Type.Null(), Type.Object({ base64: Type.String() }, { additionalProperties: false })]),
    ),
    /** The list of -f, absolute. */
    paths: Strings,
    projectDirectory: Type.String(),
    /** Messages show paths relative to it. */
    workingDirectory: Type.Optional(Type.String()),
    projectName: Type.Optional(Type.String()),
    environment: StringMap,
    /** In place of `.env`, absolute. */
    environmentFiles: Type.Optional(Strings),
    profiles: Strings,
  },
  { additionalProperties: false },
);
const WarningsSchema = Type.Array(Type.Object({ at: Type.String(), message: Type.String() }));
export const ComposeAnswerSchema = Type.Union([
  Type.Object({ kind: Type.Literal('needs'), paths: Strings }),
  Type.Object({
    kind: Type.Literal('resolved'),
    /** Services, networks, volumes, secrets and configs as a release takes them. */
    app: Type.Unknown(),
    /** The resolved file. */
    document: Type.Unknown(),
    yaml: Type.String(),
    warnings: WarningsSchema,
  }),
]);
export const ComposeExplanationSchema = Type.Union([
  Type.Object({ kind: Type.Literal('needs'), paths: Strings }),
  Type.Object({
    kind: Type.Literal('explained'),
    services: Type.Array(Type.Object({ service: Type.String(), at: Type.String(), explanation: ExplanationSchema })),
    warnings: WarningsSchema,
  }),
]);
export const UpdateInstanceSchema = Type.Object(
  { limits: Type.Optional(LimitsSchema), restart: Type.Optional(RestartSchema) },
  { additionalProperties: false },
);
export const WaitSchema = Type.Object({ exitCode: Type.Integer(), oomKilled: Type.Boolean() });
export const LogRecordSchema = Type.Object({
  stream: Type.Union([Type.Literal('stdout'), Type.Literal('stderr')]),
  at: Type.Number(),
  timestamp: Type.String(),
  data: Type.String(),
});
export const TopSchema = Type.Object({
  titles: Type.Array(Type.String()),
  /** One row a process, in the order of the titles. */
  processes: Type.Array(Type.Array(Type.String())),
});

export const ExecSchema = Type.Object({
  id: Type.String(),
  instance: Type.String(),
  running: Type.Boolean(),
  exitCode: Type.Optional(Type.Integer()),
});
export const PullSchema = Type.Object(
  {
    reference: Type.String({ minLength: 1 }),
    platform: Type.Optional(Type.String()),
    insecure: Type.Optional(Type.Boolean()),
    authFile: Type.Optional(Type.String()),
  },
  { additionalProperties: false },
);
export const PushSchema = Type.Object(
  {
    reference: Type.String({ minLength: 1 }),
    destination: Type.Optional(Type.String()),
    insecure: Type.Optional(Type.Boolean()),
    authFile: Type.Optional(Type.String()),
  },
  { additionalProperties: false },
);
export const RemovedImageSchema = Type.Object({ untagged: Strings, deleted: Strings });
export const PrunedSchema = Type.Object({ removed: Strings, freedBytes: Type.Number() });
export const CreateVolumeSchema = Type.Object(
  { name: Type.Optional(Type.String()), labels: Type.Optional(StringMap) },
  { additionalProperties: false },
);
export const CreateNetworkSchema = Type.Object(
  {
    name: Type.String(),
    subnet: Type.Optional(Type.String()),
    internal: Type.Optional(Type.Boolean()),
    labels: Type.Optional(StringMap),
  },
  { additionalProperties: false },
);

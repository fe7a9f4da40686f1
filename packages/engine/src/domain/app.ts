/** An app: the services, jobs and resources of one Compose file, resolved, as a release takes them. Pure data. */
import type { HealthCheck, LogOptions, TaskSpec } from './task.ts';

/** Where in the user's files something was written. */
export interface SourcePlace {
  file: string;
  line: number;
  column: number;
}

/** What a task of the service is created with; absent means the engine's default. Goes into a create request as it is, beside the image, a name and a network. */
export type ServiceTask = Partial<
  Omit<TaskSpec, 'image' | 'network' | 'networkAliases' | 'healthCheck' | 'log' | 'autoRemove'>
> & {
  healthCheck?: Partial<HealthCheck> & { test: string[] };
  log?: Partial<LogOptions>;
};

export interface BuildRequest {
  /** Absolute directory, or an address. */
  context: string;
  dockerfile?: string;
  dockerfileInline?: string;
  args: Record<string, string | null>;
  target?: string;
  labels: Record<string, string>;
  tags: string[];
  noCache: boolean;
  pull: boolean;
}

export interface Dependency {
  service: string;
  condition: 'service_started' | 'service_healthy' | 'service_completed_successfully';
  /** Restart with the dependency. */
  restart: boolean;
  /** Not required: it may be absent. */
  required: boolean;
}

/** Asked from outside the instance, in place of a command inside it. */
export type HealthProbe =
  | { kind: 'http'; port: number; path: string; host?: string; status: string }
  | { kind: 'tcp'; port: number }
  | { kind: 'grpc'; port: number; service: string }
  | { kind: 'runs-for'; durationMs: number };

export interface ChangeConfiguration {
  /** 0 is all at once. */
  parallelism: number;
  delayMs: number;
  monitorMs: number;
  /** From 0 to 1. */
  maxFailureRatio: number;
  failureAction: 'continue' | 'rollback' | 'pause';
  order: 'start-first' | 'stop-first';
}

export interface Canary {
  /** Shares from 0 to 1, rising. */
  steps: { share: number; durationMs?: number }[];
  intervalMs?: number;
  /** From 0 to 1. */
  maxErrorRate?: number;
  maxP95Ms?: number;
}

export type Strategy = 'rolling' | 'blue-green' | 'canary' | 'stop-first';

export interface ReleaseConfiguration {
  strategy?: Strategy;
  /** Instances at once, or a share from 0 to 1 of all. */
  batch?: { count: number } | { share: number };
  canary?: Canary;
  watchMs?: number;
}

export interface IngressRoute {
  /** Absent: any host. */
  host?: string;
  path: string;
  /** Of the instance. */
  port: number;
  /** `auto`: ACME; `given`: a certificate the operator has put there. */
  tls: 'off' | 'auto' | 'given';
  source: SourcePlace;
}

export interface Hook {
  command: string[];
  user?: string;
  workdir?: string;
  env: string[];
  source: SourcePlace;
}
export interface PreStartHook extends Hook {
  /** Absent: the service's own, new image. */
  image?: string;
  /** Before each replica, not once a release. */
  perReplica: boolean;
}

export type Job =
  | { when: 'pre-release' | 'post-release'; timeoutMs?: number }
  | { when: 'cron'; schedule: string; overlap: 'forbid' | 'allow' | 'replace'; timeoutMs?: number };

export interface EgressGrant {
  /** As written where it was text: `internet`, `none`, `api.example.com:443`, a CIDR. */
  to: string;
  port?: number;
  methods: string[];
  paths: string[];
  inject?: { header: string; secret: string };
  source: SourcePlace;
}

export interface NetworkMembership {
  /** Key of the app's network. */
  network: string;
  aliases: string[];
  priority: number;
}

export interface FileGrant {
  /** Key of the app's secret or configuration. */
  name: string;
  /** Absolute path inside the instance. */
  target: string;
  uid: string;
  gid: string;
  mode: number;
}

export interface AppService {
  name: string;
  source: SourcePlace;
  /** Of a service that is only built: `APP-SERVICE`. */
  image: string;
  build?: BuildRequest;
  pull: 'missing' | 'always' | 'never' | 'build';
  platform?: string;
  task: ServiceTask;
  replicas: number;
  global: boolean;
  profiles: string[];
  dependsOn: Dependency[];
  networks: NetworkMembership[];
  /** Stands in place of networks. */
  networkMode?: 'none';
  expose: string[];
  secrets: FileGrant[];
  configs: FileGrant[];
  healthProbe?: HealthProbe;
  healthStartIntervalMs?: number;
  /** Of `deploy.resources.reservations`: what must be free before a release. */
  reservations: { memoryBytes?: number; cpus?: number };
  restartDelayMs?: number;
  restartWindowMs?: number;
  update: ChangeConfiguration;
  rollback: ChangeConfiguration;
  release: ReleaseConfiguration;
  ingress: IngressRoute[];
  preStart: PreStartHook[];
  postStart: Hook[];
  preStop: Hook[];
  job?: Job;
  /** Never two at once: declared here, or because it mounts a single-writer volume. */
  singleWriter: boolean;
  egress?: EgressGrant[];
  deployLabels: Record<string, string>;
}

export interface AppNetwork {
  key: string;
  /** On the host. */
  name: string;
  external: boolean;
  internal: boolean;
  subnet?: string;
  gateway?: string;
  labels: Record<string, string>;
  source: SourcePlace;
}
export interface AppVolume {
  key: string;
  name: string;
  external: boolean;
  singleWriter: boolean;
  labels: Record<string, string>;
  source: SourcePlace;
}
/** A secret or a configuration: where its bytes come from, never the bytes themselves. */
export interface AppContent {
  key: string;
  name: string;
  from:
    | { kind: 'file'; path: string }
    | { kind: 'environment'; variable: string }
    | { kind: 'content'; text: string }
    | { kind: 'external' };
  labels: Record<string, string>;
  source: SourcePlace;
}

export interface App {
  name: string;
  /** In the order of the file. */
  services: AppService[];
  networks: AppNetwork[];
  volumes: AppVolume[];
  secrets: AppContent[];
  configs: AppContent[];
}

/** One method per route of the engine's API. It keeps no state but the socket's path. */
import type { Readable } from 'node:stream';
import { ROUTES } from '@bulkhead/contract/routes';
import type * as T from '@bulkhead/contract/types';
import { Session } from './session.ts';
import { type CallOptions, Transport } from './transport.ts';

export const DEFAULT_SOCKET = '/run/bulkhead/api.sock';

/** `unix:///path`, `unix:/path` or `/path`; empty gives the default. */
export function socketPath(host: string | undefined): string {
  if (host === undefined || host === '') return DEFAULT_SOCKET;
  return host.replace(/^unix:(\/\/)?/, '');
}

export interface Version {
  version: string;
  api: string;
  node: string;
  kernel: string;
}

export interface LogsQuery {
  follow?: boolean;
  /** Unix milliseconds. */
  since?: number;
  until?: number;
  /** Last n lines. */
  tail?: number;
}

type Lines<V> = AsyncGenerator<V, void, undefined>;
type Abort = { signal?: AbortSignal };

export class Client {
  readonly transport: Transport;

  constructor(host?: string) {
    this.transport = new Transport(socketPath(host));
  }

  ping(abort: Abort = {}): Promise<unknown> {
    return this.transport.json(ROUTES.ping, abort);
  }
  version(): Promise<Version> {
    return this.transport.json(ROUTES.version);
  }
  openapi(): Promise<unknown> {
    return this.transport.json(ROUTES.openapi);
  }
  doctor(query: { refresh?: boolean } = {}): Promise<T.Doctor> {
    return this.transport.json(ROUTES.doctor, { query });
  }
  explain(body: T.CreateInstance): Promise<T.Explanation> {
    return this.transport.json(ROUTES.explain, { body });
  }
  resolveCompose(body: T.ComposeRequest): Promise<T.ComposeAnswer> {
    return this.transport.json(ROUTES.resolveCompose, { body });
  }
  explainCompose(body: T.ComposeRequest): Promise<T.ComposeExplanation> {
    return this.transport.json(ROUTES.explainCompose, { body });
  }
  composeSchema(): Promise<unknown> {
    return this.transport.json(ROUTES.composeSchema);
  }
  shutdown(query: { stop?: boolean; purge?: boolean } = {}): Promise<void> {
    return this.transport.json(ROUTES.shutdown, { query });
  }

  listInstances(query: { all?: boolean; filter?: string[] } = {}): Promise<T.InstanceSummary[]> {
    return this.transport.json(ROUTES.listInstances, { query });
  }
  createInstance(body: T.CreateInstance): Promise<T.InstanceSummary> {
    return this.transport.json(ROUTES.createInstance, { body });
  }
  /** Create, start and attach in one request. Resolves when the task runs; `session` has all of its output. */
  async runInstance(
    body: T.CreateInstance,
    query: { stdin?: boolean } = {},
  ): Promise<{ id: string; session: Session }> {
    const { headers, socket, head } = await this.transport.upgrade(ROUTES.runInstance, { body, query });
    return { id: String(headers['bulkhead-instance'] ?? ''), session: new Session(socket, head) };
  }
  inspectInstance(ref: string): Promise<T.InstanceDetail> {
    return this.transport.json(ROUTES.inspectInstance, { params: { ref } });
  }
  updateInstance(ref: string, body: T.UpdateInstance): Promise<T.InstanceSummary> {
    return this.transport.json(ROUTES.updateInstance, { params: { ref }, body });
  }
  removeInstance(ref: string, query: { force?: boolean; volumes?: boolean } = {}): Promise<void> {
    return this.transport.json(ROUTES.removeInstance, { params: { ref }, query });
  }
  startInstance(ref: string): Promise<T.InstanceSummary> {
    return this.transport.json(ROUTES.startInstance, { params: { ref } });
  }
  stopInstance(ref: string, query: { timeoutMs?: number; signal?: string } = {}): Promise<T.InstanceSummary> {
    return this.transport.json(ROUTES.stopInstance, { params: { ref }, query });
  }
  restartInstance(ref: string, query: { timeoutMs?: number; signal?: string } = {}): Promise<T.InstanceSummary> {
    return this.transport.json(ROUTES.restartInstance, { params: { ref }, query });
  }
  killInstance(ref: string, query: { signal?: string } = {}): Promise<void> {
    return this.transport.json(ROUTES.killInstance, { params: { ref }, query });
  }
  waitInstance(ref: string, query: { condition?: 'not-running' | 'removed' } = {}): Promise<T.Wait> {
    return this.transport.json(ROUTES.waitInstance, { params: { ref }, query });
  }
  renameInstance(ref: string, name: string): Promise<T.InstanceSummary> {
    return this.transport.json(ROUTES.renameInstance, { params: { ref }, query: { name } });
  }
  pruneInstances(): Promise<T.Pruned> {
    return this.transport.json(ROUTES.pruneInstances);
  }

  /** `data` of a record is base64. */
  logs(ref: string, query: LogsQuery = {}, abort: Abort = {}): Lines<T.LogRecord> {
    return this.transport.lines(ROUTES.logs, { params: { ref }, query: { ...query }, ...abort });
  }
  attach(ref: string, query: { logs?: boolean; stdin?: boolean } = {}): Promise<Session> {
    return this.#session(ROUTES.attach, { params: { ref }, query });
  }
  top(ref: string): Promise<T.Top> {
    return this.transport.json(ROUTES.top, { params: { ref } });
  }
  createExec(ref: string, body: T.ExecCreate): Promise<T.Exec> {
    return this.transport.json(ROUTES.createExec, { params: { ref }, body });
  }
  startExec(id: string, query: { columns?: number; rows?: number } = {}): Promise<Session> {
    return this.#session(ROUTES.startExec, { params: { id }, query });
  }
  startExecDetached(id: string): Promise<T.Exec> {
    return this.transport.json(ROUTES.startExecDetached, { params: { id } });
  }
  inspectExec(id: string): Promise<T.Exec> {
    return this.transport.json(ROUTES.inspectExec, { params: { id } });
  }
  stats(query: { ref?: string[]; once?: boolean } = {}, abort: Abort = {}): Lines<T.Stats> {
    return this.transport.lines(ROUTES.stats, { query, ...abort });
  }
  events(query: { since?: number; until?: number; filter?: string[] } = {}, abort: Abort = {}): Lines<T.Event> {
    return this.transport.lines(ROUTES.events, { query, ...abort });
  }
  /** A tar of `path`; its root entry is the base name of `path`. */
  readArchive(ref: string, path: string, abort: Abort = {}): Promise<Readable> {
    return this.transport.open(ROUTES.readArchive, { params: { ref }, query: { path }, ...abort });
  }
  writeArchive(ref: string, path: string, upload: Readable): Promise<void> {
    return this.transport.json(ROUTES.writeArchive, { params: { ref }, query: { path }, upload });
  }

  listImages(): Promise<T.ImageSummary[]> {
    return this.transport.json(ROUTES.listImages);
  }
  inspectImage(ref: string): Promise<T.ImageSummary> {
    return this.transport.json(ROUTES.inspectImage, { query: { ref } });
  }
  pullImage(body: T.Pull, abort: Abort = {}): Lines<T.Progress> {
    return this.transport.lines(ROUTES.pullImage, { body, ...abort });
  }
  pushImage(body: T.Push, abort: Abort = {}): Lines<T.Progress> {
    return this.transport.lines(ROUTES.pushImage, { body, ...abort });
  }
  tagImage(ref: string, name: string): Promise<void> {
    return this.transport.json(ROUTES.tagImage, { query: { ref, name } });
  }
  removeImage(ref: string, query: { force?: boolean } = {}): Promise<T.RemovedImage> {
    return this.transport.json(ROUTES.removeImage, { query: { ref, ...query } });
  }
  loadImage(upload: Readable): Lines<T.Progress> {
    return this.transport.lines(ROUTES.loadImage, { upload });
  }
  saveImage(refs: string[], format?: 'docker-archive' | 'oci-archive'): Promise<Readable> {
    return this.transport.open(ROUTES.saveImage, { query: { ref: refs, format } });
  }
  buildImage(
    upload: Readable,
    query: { dockerfile?: string; tag?: string; arg?: string[]; target?: string; noCache?: boolean; network?: string },
  ): Lines<T.Progress> {
    return this.transport.lines(ROUTES.buildImage, { upload, query });
  }
  pruneImages(query: { all?: boolean } = {}): Promise<T.Pruned> {
    return this.transport.json(ROUTES.pruneImages, { query });
  }

  listVolumes(): Promise<T.Volume[]> {
    return this.transport.json(ROUTES.listVolumes);
  }
  createVolume(body: T.CreateVolume): Promise<T.Volume> {
    return this.transport.json(ROUTES.createVolume, { body });
  }
  inspectVolume(name: string): Promise<T.Volume> {
    return this.transport.json(ROUTES.inspectVolume, { params: { name } });
  }
  removeVolume(name: string, query: { force?: boolean } = {}): Promise<void> {
    return this.transport.json(ROUTES.removeVolume, { params: { name }, query });
  }
  pruneVolumes(query: { all?: boolean } = {}): Promise<T.Pruned> {
    return this.transport.json(ROUTES.pruneVolumes, { query });
  }

  listNetworks(): Promise<T.Network[]> {
    return this.transport.json(ROUTES.listNetworks);
  }
  createNetwork(body: T.CreateNetwork): Promise<T.Network> {
    return this.transport.json(ROUTES.createNetwork, { body });
  }
  inspectNetwork(name: string): Promise<T.Network> {
    return this.transport.json(ROUTES.inspectNetwork, { params: { name } });
  }
  removeNetwork(name: string): Promise<void> {
    return this.transport.json(ROUTES.removeNetwork, { params: { name } });
  }
  pruneNetworks(): Promise<T.Pruned> {
    return this.transport.json(ROUTES.pruneNetworks);
  }

  async #session(route: typeof ROUTES.attach | typeof ROUTES.startExec, options: CallOptions): Promise<Session> {
    const { socket, head } = await this.transport.upgrade(route, options);
    return new Session(socket, head);
  }
}

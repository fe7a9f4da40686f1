/** Every address of the API, as data: the engine serves them, the SDK calls them, the OpenAPI document lists them. */

export interface Route {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With `:name` parameters. `:ref` is an instance's name, id or unique id prefix. */
  path: string;
  summary: string;
  /** Query parameters: name -> meaning. Booleans are `1` or absent. */
  query?: Record<string, string>;
  /** Name of the schema in schemas.ts of a JSON body. */
  body?: string;
  /** Name of the schema of the JSON answer; with `list` an array of it. */
  answer?: string;
  list?: boolean;
  /** `ndjson`: one JSON value a line, see `answer`; a failure is a last line `{"error": {...}}`. `tar`: application/x-tar. `upgrade`: 101, then frames of stream.ts. */
  stream?: 'ndjson' | 'tar' | 'upgrade';
  /** `tar`: the request body is a tar stream. */
  upload?: 'tar';
  status?: number;
}

export const ROUTES = {
  ping: { method: 'GET', path: '/v1/ping', summary: 'Is the engine there.' },
  version: { method: 'GET', path: '/v1/version', summary: 'Versions of the engine, API, Node and host kernel.' },
  openapi: { method: 'GET', path: '/v1/openapi.json', summary: 'This document.' },
  doctor: {
    method: 'GET',
    path: '/v1/doctor',
    summary: 'Probes the host by use.',
    query: { refresh: 'probe again instead of the cached answer' },
    answer: 'DoctorSchema',
  },
  explain: {
    method: 'POST',
    path: '/v1/explain',
    summary: 'Facts, rules and level of a task, without running it.',
    body: 'CreateInstanceSchema',
    answer: 'ExplanationSchema',
  },
  resolveCompose: {
    method: 'POST',
    path: '/v1/compose/resolve',
    summary: 'Compose files to an app; answers with the files it still needs until it has all of them.',
    body: 'ComposeRequestSchema',
    answer: 'ComposeAnswerSchema',
  },
  explainCompose: {
    method: 'POST',
    path: '/v1/compose/explain',
    summary: 'Facts, rules and level of every service of Compose files, without running them.',
    body: 'ComposeRequestSchema',
    answer: 'ComposeExplanationSchema',
  },
  composeSchema: {
    method: 'GET',
    path: '/v1/compose/schema.json',
    summary: 'JSON Schema of a Compose file, for editors.',
  },
  shutdown: {
    method: 'POST',
    path: '/v1/shutdown',
    summary: 'Stops the engine; instances run on unless stop=1.',
    query: { stop: 'stop all instances first', purge: 'also remove networks and mounts from the host' },
  },

  listInstances: {
    method: 'GET',
    path: '/v1/instances',
    summary: 'Instances.',
    query: {
      all: 'also those not running',
      filter: 'repeatable key=value: name, id, status, label, level, ancestor, network, volume, health, exited',
    },
    answer: 'InstanceSummarySchema',
    list: true,
  },
  createInstance: {
    method: 'POST',
    path: '/v1/instances',
    summary: 'Creates an instance, and starts it with start=true.',
    body: 'CreateInstanceSchema',
    answer: 'InstanceSummarySchema',
    status: 201,
  },
  inspectInstance: {
    method: 'GET',
    path: '/v1/instances/:ref',
    summary: 'All about one instance.',
    answer: 'InstanceDetailSchema',
  },
  updateInstance: {
    method: 'PATCH',
    path: '/v1/instances/:ref',
    summary: 'Changes limits or the restart policy of an instance.',
    body: 'UpdateInstanceSchema',
    answer: 'InstanceSummarySchema',
  },
  removeInstance: {
    method: 'DELETE',
    path: '/v1/instances/:ref',
    summary: 'Removes an instance.',
    query: { force: 'kill it first', volumes: 'also its anonymous volumes' },
  },
  startInstance: {
    method: 'POST',
    path: '/v1/instances/:ref/start',
    summary: 'Starts a stopped instance.',
    answer: 'InstanceSummarySchema',
  },
  stopInstance: {
    method: 'POST',
    path: '/v1/instances/:ref/stop',
    summary: 'Stop signal, then SIGKILL after the timeout.',
    query: { timeoutMs: 'grace period', signal: 'instead of the stop signal' },
    answer: 'InstanceSummarySchema',
  },
  restartInstance: {
    method: 'POST',
    path: '/v1/instances/:ref/restart',
    summary: 'Stop and start.',
    query: { timeoutMs: 'grace period', signal: 'instead of the stop signal' },
    answer: 'InstanceSummarySchema',
  },
  killInstance: {
    method: 'POST',
    path: '/v1/instances/:ref/kill',
    summary: 'Sends a signal.',
    query: { signal: 'name or number, default KILL' },
  },
  waitInstance: {
    method: 'POST',
    path: '/v1/instances/:ref/wait',
    summary: 'Answers when the instance has ended.',
    query: { condition: 'not-running (default) | removed' },
    answer: 'WaitSchema',
  },
  renameInstance: {
    method: 'POST',
    path: '/v1/instances/:ref/rename',
    summary: 'Gives it another name.',
    query: { name: 'the new name' },
    answer: 'InstanceSummarySchema',
  },
  logs: {
    method: 'GET',
    path: '/v1/instances/:ref/logs',
    summary: 'Log frames: `{stream, at, timestamp, data}` with base64 data.',
    query: { follow: '', since: 'Unix ms', until: 'Unix ms', tail: 'last n lines' },
    answer: 'LogRecordSchema',
    stream: 'ndjson',
  },
  attach: {
    method: 'GET',
    path: '/v1/instances/:ref/attach',
    summary: 'Streams of the main process; ends with its exit frame.',
    query: { logs: 'begin with what was already written', stdin: 'also attach stdin' },
    stream: 'upgrade',
  },
  runInstance: {
    method: 'POST',
    path: '/v1/instances/run',
    summary:
      'Creates, starts and attaches in one: the 101 comes once the task runs, with its id in `bulkhead-instance`. The body is small and has a content-length.',
    body: 'CreateInstanceSchema',
    query: { stdin: 'also attach stdin' },
    stream: 'upgrade',
  },
  top: {
    method: 'GET',
    path: '/v1/instances/:ref/top',
    summary: 'Processes inside, with the ids they have there.',
    answer: 'TopSchema',
  },
  createExec: {
    method: 'POST',
    path: '/v1/instances/:ref/exec',
    summary: 'Prepares a process inside an instance.',
    body: 'ExecCreateSchema',
    answer: 'ExecSchema',
    status: 201,
  },
  startExec: {
    method: 'GET',
    path: '/v1/exec/:id/start',
    summary: 'Starts it and streams it.',
    query: { columns: '', rows: '' },
    stream: 'upgrade',
  },
  startExecDetached: {
    method: 'POST',
    path: '/v1/exec/:id/start',
    summary: 'Starts it without streams; its output is dropped.',
    answer: 'ExecSchema',
  },
  inspectExec: { method: 'GET', path: '/v1/exec/:id', summary: 'State of an exec.', answer: 'ExecSchema' },
  stats: {
    method: 'GET',
    path: '/v1/stats',
    summary: 'Usage of running instances, once a second, or once.',
    query: { ref: 'repeatable; default all running', once: '' },
    answer: 'StatsSchema',
    stream: 'ndjson',
  },
  readArchive: {
    method: 'GET',
    path: '/v1/instances/:ref/archive',
    summary: 'A tar of a path.',
    query: { path: '' },
    stream: 'tar',
  },
  writeArchive: {
    method: 'PUT',
    path: '/v1/instances/:ref/archive',
    summary: 'Unpacks a tar below a directory.',
    query: { path: '' },
    upload: 'tar',
  },

  listImages: { method: 'GET', path: '/v1/images', summary: 'Images.', answer: 'ImageSummarySchema', list: true },
  inspectImage: {
    method: 'GET',
    path: '/v1/images/inspect',
    summary: 'One image.',
    query: { ref: '' },
    answer: 'ImageSummarySchema',
  },
  pullImage: {
    method: 'POST',
    path: '/v1/images/pull',
    summary: 'Pulls; the last line of progress has phase done and the image id as message.',
    body: 'PullSchema',
    answer: 'ProgressSchema',
    stream: 'ndjson',
  },
  pushImage: {
    method: 'POST',
    path: '/v1/images/push',
    summary: 'Pushes.',
    body: 'PushSchema',
    answer: 'ProgressSchema',
    stream: 'ndjson',
  },
  tagImage: { method: 'POST', path: '/v1/images/tag', summary: 'Adds a name.', query: { ref: '', name: '' } },
  removeImage: {
    method: 'DELETE',
    path: '/v1/images',
    summary: 'Untags or removes.',
    query: { ref: '', force: '' },
    answer: 'RemovedImageSchema',
  },
  loadImage: {
    method: 'POST',
    path: '/v1/images/load',
    summary: 'Loads a docker-archive or oci-archive; progress lines, the last of phase done with names as message.',
    upload: 'tar',
    answer: 'ProgressSchema',
    stream: 'ndjson',
  },
  saveImage: {
    method: 'GET',
    path: '/v1/images/save',
    summary: 'An archive of images.',
    query: { ref: 'repeatable', format: 'docker-archive (default) | oci-archive' },
    stream: 'tar',
  },
  buildImage: {
    method: 'POST',
    path: '/v1/images/build',
    summary: 'Builds the Dockerfile in the uploaded context.',
    query: {
      dockerfile: 'path in the context',
      tag: '',
      arg: 'repeatable NAME=VALUE',
      target: '',
      noCache: '',
      network: 'default (of its own) | none',
    },
    upload: 'tar',
    answer: 'ProgressSchema',
    stream: 'ndjson',
  },
  pruneImages: {
    method: 'POST',
    path: '/v1/images/prune',
    summary: 'Removes images nothing needs.',
    query: { all: 'also tagged ones' },
    answer: 'PrunedSchema',
  },

  listVolumes: { method: 'GET', path: '/v1/volumes', summary: 'Volumes.', answer: 'VolumeSchema', list: true },
  createVolume: {
    method: 'POST',
    path: '/v1/volumes',
    summary: 'Makes a volume.',
    body: 'CreateVolumeSchema',
    answer: 'VolumeSchema',
    status: 201,
  },
  inspectVolume: { method: 'GET', path: '/v1/volumes/:name', summary: 'One volume.', answer: 'VolumeSchema' },
  removeVolume: { method: 'DELETE', path: '/v1/volumes/:name', summary: 'Removes a volume.', query: { force: '' } },
  pruneVolumes: {
    method: 'POST',
    path: '/v1/volumes/prune',
    summary: 'Removes volumes no instance uses.',
    query: { all: 'also named ones' },
    answer: 'PrunedSchema',
  },

  listNetworks: { method: 'GET', path: '/v1/networks', summary: 'Networks.', answer: 'NetworkSchema', list: true },
  createNetwork: {
    method: 'POST',
    path: '/v1/networks',
    summary: 'Makes a network.',
    body: 'CreateNetworkSchema',
    answer: 'NetworkSchema',
    status: 201,
  },
  inspectNetwork: { method: 'GET', path: '/v1/networks/:name', summary: 'One network.', answer: 'NetworkSchema' },
  removeNetwork: { method: 'DELETE', path: '/v1/networks/:name', summary: 'Removes a network.' },
  pruneNetworks: {
    method: 'POST',
    path: '/v1/networks/prune',
    summary: 'Removes networks no instance uses.',
    answer: 'PrunedSchema',
  },
  pruneInstances: {
    method: 'POST',
    path: '/v1/instances/prune',
    summary: 'Removes instances that are not running.',
    answer: 'PrunedSchema',
  },

  events: {
    method: 'GET',
    path: '/v1/events',
    summary: 'What happened.',
    query: {
      since: 'Unix ms',
      until: 'Unix ms; without it follows',
      filter: 'repeatable key=value: type, action, instance, image',
    },
    answer: 'EventSchema',
    stream: 'ndjson',
  },
} as const satisfies Record<string, Route>;

export type RouteName = keyof typeof ROUTES;

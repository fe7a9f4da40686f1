/** From a request to a stored instance: everything that can be refused is refused before anything is made. */
import { BulkheadError, type CreateInstance } from '@bulkhead/contract';
import type { InstanceRecord } from '../domain/instance.ts';
import type { MountSpec, TaskSpec } from '../domain/task.ts';
import type { ImageRecord } from '../ports/images.ts';
import type { Explanation } from '../ports/policy.ts';
import type { LifecycleDeps } from './deps.ts';
import type { Events } from './events.ts';
import { checkGrants, refuseUnsupported } from './grants.ts';
import type { Images } from './images.ts';
import type { Ledger } from './ledger.ts';
import type { Levels } from './levels.ts';
import { checkName, generateName } from './names.ts';
import { imageVolumes } from './plan.ts';
import { mergeProcess } from './process.ts';
import { checkTask } from './task-checks.ts';
import { taskOf } from './task-request.ts';

export class Creator {
  readonly #deps: LifecycleDeps;
  readonly #ledger: Ledger;
  readonly #events: Events;
  readonly #images: Images;
  readonly #levels: Levels;

  constructor(deps: LifecycleDeps, parts: { ledger: Ledger; events: Events; images: Images; levels: Levels }) {
    this.#deps = deps;
    this.#ledger = parts.ledger;
    this.#events = parts.events;
    this.#images = parts.images;
    this.#levels = parts.levels;
  }

  async explain(request: CreateInstance): Promise<Explanation> {
    const task = taskOf(request);
    checkTask(task, this.#deps.cpus);
    return this.#deps.policy.explain(task, this.#deps.images.find(task.image), await this.#levels.probe());
  }

  /** Stored as `preparing` where it is to start at once: that is the intent, and saves a commit. */
  async create(request: CreateInstance): Promise<InstanceRecord> {
    const { clock, state, fault, policy, ownTrees } = this.#deps;
    const task = taskOf(request);
    checkTask(task, this.#deps.cpus);
    if (request.name !== undefined) {
      checkName(request.name, 'the name of an instance');
      this.#refuseTaken(request.name);
    }
    this.#checkNetwork(task);
    const binds = await this.#resolveBinds(task);
    const image = await this.#resolveImage(task, request.pull ?? 'missing');
    mergeProcess(task, image.config, '');
    const anonymous = new Set<string>();
    const newVolume = () => {
      const name = clock.newId();
      anonymous.add(name);
      return name;
    };
    task.mounts.push(...imageVolumes(task.mounts, image.config, newVolume));
    const volumes = task.mounts.filter((mount) => mount.type === 'volume');
    for (const mount of volumes) if (mount.source === '') mount.source = newVolume();
    const known = volumes.length === 0 ? new Set<string>() : new Set(state.listVolumes().map((volume) => volume.name));
    const decision = await this.#levels.decide(task, image);
    refuseUnsupported(task);
    checkGrants(task, binds, ownTrees, policy);
    fault('create.resolved');

    const driver = request.start ? this.#deps.drivers.get(decision.level) : undefined;
    const standby = driver?.standbyId?.(task);
    const id = standby ?? clock.newId();
    const now = clock.now();
    const record: InstanceRecord = {
      id,
      name: request.name ?? generateName(id, (name) => state.findInstance(name) !== undefined),
      spec: task,
      imageId: image.id,
      decision,
      state: request.start ? 'preparing' : 'pending',
      health: 'none',
      oomKilled: false,
      restartCount: 0,
      stopRequested: false,
      createdAt: now,
    };
    const store = () => {
      for (const name of new Set(volumes.map((mount) => mount.source))) {
        if (known.has(name)) continue;
        const path = this.#deps.storage.volumePath(name);
        state.putVolume({ name, path, labels: {}, createdAt: now, anonymous: anonymous.has(name) });
        this.#events.record('volume', 'create', name, {});
      }
      state.putInstance(record);
      this.#ledger.tell(record, 'create');
    };
    try {
      state.transaction(store);
    } catch (error) {
      if (standby !== undefined) await driver?.destroy(standby).catch((cause) => this.#deps.report('standby', cause));
      throw error;
    }
    fault('create.stored');
    return record;
  }

  #refuseTaken(name: string): void {
    const holder = this.#deps.state.findInstance(name);
    if (holder?.name === name) {
      throw new BulkheadError('name_in_use', `the name ${name} is taken by instance ${holder.id.slice(0, 12)}`);
    }
  }

  #checkNetwork(task: TaskSpec): void {
    if (task.network === 'none' || task.network === 'host') return;
    const known = this.#deps.state.listNetworks();
    if (!known.some((network) => network.name === task.network || network.id === task.network)) {
      throw new BulkheadError('no_such_network', `there is no network ${JSON.stringify(task.network)}`);
    }
  }

  /** Binds mount what a link leads to now: a link changed later changes nothing. */
  async #resolveBinds(task: TaskSpec): Promise<string[]> {
    const resolve = async (mount: MountSpec) => {
      const found = await this.#deps.storage.bindSource(mount.source);
      if (!found) throw new BulkheadError('invalid_mount', `the bind source ${mount.source} does not exist`);
      mount.source = found.realPath;
      return found.realPath;
    };
    return Promise.all(task.mounts.filter((mount) => mount.type === 'bind').map(resolve));
  }

  async #resolveImage(task: TaskSpec, pull: 'missing' | 'always' | 'never'): Promise<ImageRecord> {
    if (pull === 'always') return this.#images.pull(task.image, {});
    const found = this.#deps.images.find(task.image);
    if (found) return found;
    if (pull === 'never') {
      throw new BulkheadError('no_such_image', `the image ${task.image} is not in the store and may not be pulled`);
    }
    return this.#images.pull(task.image, {});
  }
}

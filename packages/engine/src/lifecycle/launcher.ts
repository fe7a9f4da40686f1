/** Starts an instance, each step's intent stored before its effect; undoes its steps where one fails. */
import { BulkheadError, ERRORS } from '@bulkhead/contract';
import type { InstanceRecord, Lease } from '../domain/instance.ts';
import type { PortMapping } from '../domain/task.ts';
import type { Driver } from '../ports/driver.ts';
import type { ImageRecord } from '../ports/images.ts';
import type { LifecycleDeps } from './deps.ts';
import type { Ledger } from './ledger.ts';
import { dnsNames, portsOf, startPlan } from './plan.ts';

export class Launcher {
  readonly #deps: LifecycleDeps;
  readonly #ledger: Ledger;

  constructor(deps: LifecycleDeps, ledger: Ledger) {
    this.#deps = deps;
    this.#ledger = ledger;
  }

  driverOf(record: InstanceRecord): Driver {
    const driver = this.#deps.drivers.get(record.decision.level);
    if (!driver) {
      throw new BulkheadError('level_unavailable', `this engine has no driver for the level ${record.decision.level}`);
    }
    return driver;
  }

  /** The image the instance was created from, whatever its tags name now. */
  imageOf(record: InstanceRecord): ImageRecord {
    const image = this.#deps.images.find(record.imageId) ?? this.#deps.state.getImage(record.imageId);
    if (!image) throw new BulkheadError('no_such_image', `the image ${record.imageId} of ${record.name} is gone`);
    return image;
  }

  /** Call under the instance's mutex. Throws with the instance `failed` and nothing of the run left. */
  async launch(before: InstanceRecord): Promise<InstanceRecord> {
    const { fault, clock, storage } = this.#deps;
    const driver = this.driverOf(before);
    let record = before;
    if (record.state !== 'preparing') {
      record = this.#ledger.step(record, 'preparing', {
        stopRequested: false,
        exitCode: undefined,
        error: undefined,
        oomKilled: false,
        handle: undefined,
      });
    }
    fault('start.preparing');
    let lease: Lease | undefined;
    try {
      const image = this.imageOf(record);
      storage.prepareInstance(record.id);
      fault('start.files');
      await this.#makeVolumes(record, image);
      fault('start.volumes');
      lease = await this.#acquire(record);
      fault('start.network');
      const ports = await this.#publish(record, image, lease);
      fault('start.ports');
      const plan = startPlan(record, image, storage, lease);
      record = { ...record, state: 'starting' };
      fault('start.starting');
      // Before its first output, which `--since` this moment has to find.
      const startedAt = clock.now();
      const handle = await driver.start(plan);
      fault('start.driver');
      record = this.#ledger.step(
        record,
        'running',
        { handle, lease, ports, startedAt, finishedAt: undefined, health: 'none' },
        { action: 'start' },
      );
      fault('start.running');
      return record;
    } catch (error) {
      await this.#undo(record, driver, lease, error);
      throw error;
    }
  }

  async #undo(record: InstanceRecord, driver: Driver, lease: Lease | undefined, cause: unknown): Promise<void> {
    const { report, clock, network } = this.#deps;
    const attempt = (what: string, body: Promise<void>) => body.catch((error: unknown) => report(what, error));
    await attempt('release after a failed start', driver.release(record.id));
    if (lease) await attempt('network after a failed start', network.free(record.id, lease));
    const known = cause instanceof BulkheadError;
    try {
      this.#ledger.step(
        record,
        'failed',
        {
          error: cause instanceof Error ? cause.message : String(cause),
          exitCode: ERRORS[known ? cause.code : 'internal'].exit,
          lease: undefined,
          ports: undefined,
          handle: undefined,
          finishedAt: clock.now(),
        },
        { action: 'die', attributes: { error: known ? cause.code : 'internal' } },
      );
    } catch (error) {
      // A full disk: recovery finds `preparing` and does the same.
      report('storing a failed start', error);
    }
  }

  async #makeVolumes(record: InstanceRecord, image: ImageRecord): Promise<void> {
    const { storage, rootfs } = this.#deps;
    for (const mount of record.spec.mounts) {
      if (mount.type !== 'volume' || !(await storage.createVolume(mount.source))) continue;
      // First use: the volume begins with what the image has there, as in Docker.
      const root = await rootfs.mount(record.id, image.layers, record.spec.limits.diskBytes);
      await storage.seedVolume(mount.source, await rootfs.ensureDirectory(root, mount.target));
    }
  }

  async #acquire(record: InstanceRecord): Promise<Lease | undefined> {
    const { network: name } = record.spec;
    if (name === 'none') return undefined;
    const network = this.#deps.state.listNetworks().find((each) => each.name === name || each.id === name);
    if (!network) throw new BulkheadError('no_such_network', `there is no network ${JSON.stringify(name)}`);
    return this.#deps.network.acquire(network, record.id, dnsNames(record));
  }

  async #publish(record: InstanceRecord, image: ImageRecord, lease: Lease | undefined): Promise<PortMapping[]> {
    const ports = portsOf(record, image.config);
    if (!lease || ports.length === 0) return [];
    return this.#deps.network.publish(record.id, lease, ports);
  }
}

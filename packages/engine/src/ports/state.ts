/** The engine's memory: every intent is stored here before its side effect. */
import type { InstanceRecord } from '../domain/instance.ts';
import type { ImageRecord } from './images.ts';
import type { NetworkRecord } from './network.ts';

export interface VolumeRecord {
  name: string;
  /** Host directory. */
  path: string;
  labels: Record<string, string>;
  createdAt: number;
  /** Made by the engine for an image's VOLUME or `-v /path`; removed with its instance on `rm -v` or `--rm`. */
  anonymous: boolean;
}

export interface EventRecord {
  seq: number;
  /** Unix time in milliseconds. */
  at: number;
  type: 'instance' | 'image' | 'volume' | 'network' | 'engine';
  action: string;
  id: string;
  attributes: Record<string, string>;
}

export interface StateStore {
  putInstance(record: InstanceRecord): void;
  getInstance(id: string): InstanceRecord | undefined;
  /** By id, unique id prefix or name. Throws `ambiguous_reference`. */
  findInstance(reference: string): InstanceRecord | undefined;
  listInstances(): InstanceRecord[];
  deleteInstance(id: string): void;

  putImage(record: ImageRecord): void;
  getImage(id: string): ImageRecord | undefined;
  listImages(): ImageRecord[];
  deleteImage(id: string): void;

  putVolume(record: VolumeRecord): void;
  listVolumes(): VolumeRecord[];
  deleteVolume(name: string): void;

  putNetwork(record: NetworkRecord): void;
  listNetworks(): NetworkRecord[];
  deleteNetwork(id: string): void;

  /** Appends and returns with `seq`; old ones are dropped beyond 10,000. */
  addEvent(event: Omit<EventRecord, 'seq'>): EventRecord;
  listEvents(options: { sinceMs?: number; untilMs?: number }): EventRecord[];

  /** All in one commit, or nothing. */
  transaction<T>(body: () => T): T;
  close(): void;
}

/** `filter=key=value` of lists and events: values of one key are alternatives, different keys must all hold. */
import { BulkheadError } from '@bulkhead/contract';
import type { InstanceRecord } from '../domain/instance.ts';
import type { ImageRecord } from '../ports/images.ts';
import type { EventRecord } from '../ports/state.ts';

export type Test<V> = (subject: V, value: string) => boolean;

export function matcher<V>(filters: string[], tests: Record<string, Test<V>>): (subject: V) => boolean {
  const groups = new Map<string, string[]>();
  for (const filter of filters) {
    const equals = filter.indexOf('=');
    const key = equals === -1 ? filter : filter.slice(0, equals);
    if (equals === -1 || !Object.hasOwn(tests, key)) {
      throw new BulkheadError('invalid_request', `there is no filter ${JSON.stringify(filter)}`, {
        hint: `Write KEY=VALUE with one of ${Object.keys(tests).join(', ')}.`,
      });
    }
    groups.set(key, [...(groups.get(key) ?? []), filter.slice(equals + 1)]);
  }
  return (subject) => [...groups].every(([key, values]) => values.some((value) => tests[key]!(subject, value)));
}

export const labelled = (labels: Record<string, string>, value: string): boolean => {
  const equals = value.indexOf('=');
  return equals === -1 ? Object.hasOwn(labels, value) : labels[value.slice(0, equals)] === value.slice(equals + 1);
};

/** Docker's words for our states are understood, too. */
const STATUS: Record<string, string[]> = {
  created: ['pending'],
  exited: ['stopped', 'failed'],
  dead: ['failed'],
  removing: ['removed'],
};

export interface Listed {
  record: InstanceRecord;
  image: ImageRecord | undefined;
}

export const INSTANCE_TESTS: Record<string, Test<Listed>> = {
  name: ({ record }, value) => record.name.includes(value),
  id: ({ record }, value) => record.id.startsWith(value),
  status: ({ record }, value) => record.state === value || (STATUS[value]?.includes(record.state) ?? false),
  label: ({ record, image }, value) => labelled({ ...image?.config.labels, ...record.spec.labels }, value),
  level: ({ record }, value) => record.decision.level === value,
  ancestor: ({ record, image }, value) =>
    record.spec.image === value ||
    record.imageId.startsWith(`sha256:${value}`) ||
    (image?.tags.includes(value) ?? false),
  network: ({ record }, value) => record.spec.network === value,
  volume: ({ record }, value) => record.spec.mounts.some((mount) => mount.source === value || mount.target === value),
  health: ({ record }, value) => record.health === value,
  exited: ({ record }, value) => record.exitCode === Number(value),
};

export const EVENT_TESTS: Record<string, Test<EventRecord>> = {
  type: (event, value) => event.type === value,
  action: (event, value) => event.action === value || event.action.startsWith(`${value}:`),
  instance: (event, value) =>
    event.type === 'instance' && (event.attributes.name === value || event.id.startsWith(value)),
  image: (event, value) =>
    event.attributes.image === value || (event.type === 'image' && event.attributes.name === value),
};

/** Addresses of the engine itself. */
import { release } from 'node:os';
import type { Check, CreateInstance } from '@bulkhead/contract';
import { openapi } from '@bulkhead/contract/openapi';
import type { Lifecycle } from '../lifecycle/lifecycle.ts';
import type { EventRecord } from '../ports/state.ts';
import { EVENT_TESTS, matcher } from './filters.ts';
import type { Handlers } from './routes.ts';

export interface SystemDeps {
  version: string;
  doctor: (refresh: boolean) => Promise<Check[]>;
  /** Begins after the answer is out. */
  shutdown: (options: { stop: boolean; purge: boolean }) => void;
}

export function systemRoutes(lifecycle: Lifecycle, system: SystemDeps): Handlers {
  return {
    ping: () => ({ ok: true }),
    version: () => ({ version: system.version, api: 'v1', node: process.version, kernel: release() }),
    openapi: () => openapi(system.version),
    doctor: async (call) => {
      const refresh = call.flag('refresh');
      const [checks, levels] = await Promise.all([
        system.doctor(refresh),
        refresh ? lifecycle.levels.refresh() : lifecycle.levels.probe(),
      ]);
      return { checks, levels };
    },
    explain: (call) => lifecycle.creator.explain(call.body as CreateInstance),
    shutdown: (call) => {
      const options = { stop: call.flag('stop'), purge: call.flag('purge') };
      setImmediate(() => system.shutdown(options));
    },
    events: (call) => {
      const sinceMs = call.number('since');
      const untilMs = call.number('until');
      const matches = matcher(call.all('filter'), EVENT_TESTS);
      return follow(lifecycle, { sinceMs, untilMs, matches, signal: call.signal });
    },
  };
}

interface EventQuery {
  sinceMs: number | undefined;
  untilMs: number | undefined;
  matches: (event: EventRecord) => boolean;
  signal: AbortSignal;
}

/** With `until` the past only; without it what comes, after the past where `since` is given. */
async function* follow({ events }: Lifecycle, query: EventQuery): AsyncGenerator<EventRecord[]> {
  let pending: EventRecord[] = [];
  let wake = Promise.withResolvers<void>();
  const stop = events.listen((event) => {
    if (!query.matches(event)) return;
    pending.push(event);
    wake.resolve();
  });
  const end = () => wake.resolve();
  query.signal.addEventListener('abort', end, { once: true });
  try {
    let last = 0;
    if (query.sinceMs !== undefined || query.untilMs !== undefined) {
      const past = events.list({
        ...(query.sinceMs === undefined ? {} : { sinceMs: query.sinceMs }),
        ...(query.untilMs === undefined ? {} : { untilMs: query.untilMs }),
      });
      last = past.at(-1)?.seq ?? 0;
      yield past.filter(query.matches);
    }
    if (query.untilMs !== undefined) return;
    while (!query.signal.aborted) {
      const batch = pending.filter((event) => event.seq > last);
      pending = [];
      if (batch.length > 0) yield batch;
      else await wake.promise;
      wake = Promise.withResolvers();
      // Something may have come between the batch and the new promise.
      if (pending.length > 0) wake.resolve();
    }
  } finally {
    stop();
    query.signal.removeEventListener('abort', end);
  }
}

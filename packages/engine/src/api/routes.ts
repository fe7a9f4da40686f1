/** Handlers by name of route. An answer is JSON, an iterable of batches of lines, or a tar. */
import type { RouteName } from '@bulkhead/contract';
import type { Call } from './call.ts';

export type Handler = (call: Call) => unknown;
export type Handlers = Partial<Record<RouteName, Handler>>;

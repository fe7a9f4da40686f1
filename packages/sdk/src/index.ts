/** The typed client of the engine's API: unix socket, streams as async iterables, errors with a code. */
export { BulkheadError } from '@bulkhead/contract/errors';
export { Client, DEFAULT_SOCKET, type LogsQuery, socketPath, type Version } from './client.ts';
export { Session } from './session.ts';

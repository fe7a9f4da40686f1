export * from './errors.ts';
export * from './routes.ts';
export * from './stream.ts';
export type * from './types.ts';

/** The named steps at which a crash is survivable: tests kill the engine at each of them. */
export const FAULT_STEPS = [
  'create.resolved',
  'create.stored',
  'start.preparing',
  'start.files',
  'start.volumes',
  'start.network',
  'start.ports',
  'start.starting',
  'start.driver',
  'start.running',
  'stop.stopping',
  'stop.signalled',
  'exit.seen',
  'exit.stored',
  'exit.released',
  'exit.network',
  'remove.begun',
  'remove.driver',
  'remove.network',
  'remove.files',
  'remove.volumes',
  'remove.done',
  'pull.begun',
  'pull.done',
] as const;

export type FaultStep = (typeof FAULT_STEPS)[number];

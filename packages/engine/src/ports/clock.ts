/** Time, ids and randomness come in through here, so that tests own them. */
export interface Clock {
  /** Unix time in milliseconds. */
  now(): number;
  /** 32 hex digits. */
  newId(): string;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Fault injection: called at every named step; the real one is empty. A test's hook kills the process there. */
export type FaultPoint = (step: string) => void;

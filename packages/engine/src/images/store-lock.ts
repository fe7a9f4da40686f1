/** Many may add to the store at once; the garbage collector runs alone. */
export class StoreLock {
  #adding = 0;
  #collecting: Promise<unknown> = Promise.resolve();
  #idle: (() => void)[] = [];

  get busy(): boolean {
    return this.#adding > 0;
  }

  async adding<T>(body: () => Promise<T>): Promise<T> {
    for (let seen: unknown; seen !== this.#collecting; ) {
      seen = this.#collecting;
      await seen;
    }
    this.#adding++;
    try {
      return await body();
    } finally {
      this.#adding--;
      if (this.#adding === 0) for (const wake of this.#idle.splice(0)) wake();
    }
  }

  alone<T>(body: () => Promise<T>): Promise<T> {
    const before = this.#collecting;
    const run = (async (): Promise<T> => {
      await before;
      while (this.#adding > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
      return body();
    })();
    this.#collecting = run.catch(() => {});
    return run;
  }
}

/** Exit codes as conmon leaves them: one file per instance, found also when nobody looked at the time. */
import { existsSync, type FSWatcher, readFileSync, statSync, watch } from 'node:fs';
import path from 'node:path';
import type { Exit } from '../ports/driver.ts';

/** A supervisor that vanished without an exit file was killed; how long its file may still be on the way. */
const GRACE_MS = 1_500;
const POLL_MS = 1_000;
/** From the end of a task to its exit file, at the most. */
const STUCK_MS = 5_000;

export class ExitFiles {
  readonly #folder: string;
  readonly #persist: string;
  readonly #waiting = new Map<string, Set<() => void>>();
  #watcher: FSWatcher | undefined;

  constructor(folder: string, persist: string) {
    this.#folder = folder;
    this.#persist = persist;
  }

  read(id: string): Exit | undefined {
    const file = path.join(this.#folder, id);
    try {
      const text = readFileSync(file, 'utf8').trim();
      if (text === '') return undefined;
      return {
        code: Number(text) & 255,
        oomKilled: existsSync(path.join(this.#persist, id, 'oom')),
        at: Math.round(statSync(file).mtimeMs),
      };
    } catch {
      return undefined;
    }
  }

  /** A supervisor that does not report the end of its task is stuck, and is ended. */
  async wait(id: string, of: { supervisor: () => number | undefined; taskGone: () => boolean }): Promise<Exit> {
    let vanishedAt: number | undefined;
    let endedAt: number | undefined;
    for (;;) {
      const changed = this.#changed(id);
      const exit = this.read(id);
      if (exit !== undefined) {
        changed.cancel();
        return exit;
      }
      const pause = vanishedAt === undefined ? POLL_MS : 50;
      await Promise.race([changed.promise, new Promise((resolve) => setTimeout(resolve, pause).unref())]);
      changed.cancel();
      const pid = of.supervisor();
      vanishedAt = pid === undefined ? (vanishedAt ?? Date.now()) : undefined;
      endedAt = of.taskGone() ? (endedAt ?? Date.now()) : undefined;
      if (vanishedAt !== undefined && Date.now() - vanishedAt > GRACE_MS && this.read(id) === undefined)
        return { code: 137, oomKilled: false, at: Date.now() };
      if (
        pid !== undefined &&
        endedAt !== undefined &&
        Date.now() - endedAt > STUCK_MS &&
        this.read(id) === undefined
      ) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It went in this moment.
        }
      }
    }
  }

  #changed(id: string): { promise: Promise<void>; cancel: () => void } {
    this.#watcher ??= watch(this.#folder, { persistent: false }, (_event, file) => {
      for (const wake of this.#waiting.get(file ?? '') ?? []) wake();
    });
    let wake = (): void => {};
    const promise = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const wakers = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, wakers.add(wake));
    return {
      promise,
      cancel: () => {
        wakers.delete(wake);
        if (wakers.size === 0) this.#waiting.delete(id);
      },
    };
  }
}

/** Work that reports on itself, as a stream of its reports; the last is `done` with the result. */
import type { OnProgress, Progress } from '../ports/images.ts';

export async function* withProgress(work: (onProgress: OnProgress) => Promise<string>): AsyncGenerator<Progress[]> {
  let pending: Progress[] = [];
  let wake = Promise.withResolvers<void>();
  const done = work((progress) => {
    // The store's own `done` comes without the result: ours is the last line.
    if (progress.phase === 'done' && progress.layer === undefined) return;
    pending.push(progress);
    wake.resolve();
  });
  let over = false;
  const finish = () => {
    over = true;
    wake.resolve();
  };
  done.then(finish, finish);
  for (;;) {
    if (pending.length > 0) {
      const batch = pending;
      pending = [];
      yield batch;
    } else if (over) {
      break;
    } else {
      await wake.promise;
      wake = Promise.withResolvers();
    }
  }
  yield [{ phase: 'done', message: await done }];
}

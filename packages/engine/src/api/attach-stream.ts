/** `attach`: the log as it grows, input and signals to the main process, its exit code at the end. */
import { FRAME } from '@bulkhead/contract';
import type { InstanceRecord } from '../domain/instance.ts';
import type { Lifecycle } from '../lifecycle/lifecycle.ts';
import type { Run } from '../lifecycle/live.ts';
import type { Attachment } from '../ports/driver.ts';
import type { FrameSocket } from './frame-socket.ts';
import { input } from './input.ts';

export interface AttachOptions {
  /** Begin with what was already written. */
  logs: boolean;
  stdin: boolean;
}

/** Ends when the task has ended and the client has everything, or when the client is gone: the task runs on. */
export async function attach(
  lifecycle: Lifecycle,
  record: InstanceRecord,
  options: AttachOptions,
  frames: FrameSocket,
  head: Buffer,
): Promise<void> {
  const { instances, table, deps } = lifecycle;
  const live = table.of(record.id);
  const done = live.attach();
  const gone = new AbortController();
  void frames.closed.then(() => {
    gone.abort();
    done();
  });
  try {
    const run =
      live.run ??
      (record.state === 'stopped' || record.state === 'failed' ? undefined : await begun(lifecycle, record, frames));
    if (frames.isClosed) return;
    if (run) listen(lifecycle, record, run, options, frames, head);
    const logs = deps.logs.read(deps.storage.logPath(record.id), {
      follow: run !== undefined,
      signal: gone.signal,
      ...(run ? { ended: run.exit } : {}),
      ...(options.logs ? {} : { tail: 0 }),
    });
    if (run || options.logs) {
      for await (const batch of logs) {
        for (const { stream, data } of batch)
          await frames.send(stream === 'stderr' ? FRAME.stderr : FRAME.stdout, data);
        if (frames.isClosed) return;
      }
    }
    const code = run ? (await run.exit).code : (instances.find(record.id).exitCode ?? 0);
    if (frames.isClosed) return;
    done();
    // The client may act on the end at once: what it then finds must be the end.
    await (record.spec.autoRemove ? live.removed : run?.stored);
    frames.exit(code);
  } finally {
    done();
  }
}

/** Attached before the start, as `docker attach` of a created container may be. */
async function begun(lifecycle: Lifecycle, record: InstanceRecord, frames: FrameSocket): Promise<Run | undefined> {
  const failed = Promise.withResolvers<undefined>();
  const stop = lifecycle.events.listen((event) => {
    if (event.id === record.id && event.action === 'die' && event.attributes.error) failed.resolve(undefined);
  });
  try {
    const { run, nextRun } = { run: lifecycle.table.of(record.id), nextRun: lifecycle.table.of(record.id).nextRun() };
    return await Promise.race([
      nextRun,
      failed.promise,
      run.removed.then(() => undefined),
      frames.closed.then(() => undefined),
    ]);
  } finally {
    stop();
  }
}

function listen(
  { instances }: Lifecycle,
  record: InstanceRecord,
  run: Run,
  options: AttachOptions,
  frames: FrameSocket,
  head: Buffer,
): void {
  const { openStdin, tty } = record.spec;
  const wanted = (options.stdin && openStdin) || tty;
  const attachment: Promise<Attachment | undefined> = wanted
    ? instances.attachStdin(record, run).catch(() => undefined)
    : Promise.resolve(undefined);
  void frames.closed.then(async () => (await attachment)?.close());
  void run.exit.then(async () => (await attachment)?.close());
  frames.receive(
    head,
    input({
      stdin: async () => (options.stdin ? (await attachment)?.stdin : undefined),
      resize: async (columns, rows) => (await attachment)?.resize(columns, rows),
      signal: (name) => instances.kill(record.id, name),
    }),
  );
}

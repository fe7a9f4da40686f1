/** Addresses of instances and execs. */
import type { CreateInstance, ExecCreate, UpdateInstance } from '@bulkhead/contract';
import type { InstanceRecord, StopOptions } from '../domain/instance.ts';
import type { Exec } from '../lifecycle/execs.ts';
import type { Lifecycle } from '../lifecycle/lifecycle.ts';
import type { Call } from './call.ts';
import { INSTANCE_TESTS, matcher } from './filters.ts';
import { detail, summary } from './present.ts';
import type { Handlers } from './routes.ts';

const execAnswer = ({ id, instance, running, exitCode }: Exec) => ({
  id,
  instance,
  running,
  ...(exitCode === undefined ? {} : { exitCode }),
});

function stopOf(call: Call): StopOptions {
  const [timeoutMs, signal] = [call.number('timeoutMs'), call.text('signal')];
  return { ...(timeoutMs === undefined ? {} : { timeoutMs }), ...(signal ? { signal } : {}) };
}

export function instanceRoutes(lifecycle: Lifecycle): Handlers {
  const { instances, execs, usage, deps } = lifecycle;
  const imageOf = (record: InstanceRecord) => deps.images.find(record.imageId);
  const answer = (record: InstanceRecord) => summary(record, imageOf(record));
  return {
    listInstances: (call) => {
      const filters = call.all('filter');
      const matches = matcher(filters, INSTANCE_TESTS);
      const all = call.flag('all') || filters.some((filter) => /^(status|exited)=/.test(filter));
      return instances
        .list()
        .filter((record) => all || !['pending', 'stopped', 'failed'].includes(record.state))
        .map((record) => ({ record, image: imageOf(record) }))
        .filter(matches)
        .sort((a, b) => b.record.createdAt - a.record.createdAt)
        .map(({ record, image }) => summary(record, image));
    },
    createInstance: async (call) => answer(await instances.create(call.body as CreateInstance)),
    inspectInstance: async (call) => {
      const record = instances.find(call.param('ref'));
      return detail(record, imageOf(record), await instances.describe(record), deps.storage.logPath(record.id));
    },
    updateInstance: async (call) => answer(await instances.update(call.param('ref'), call.body as UpdateInstance)),
    removeInstance: (call) =>
      instances.remove(call.param('ref'), { force: call.flag('force'), volumes: call.flag('volumes') }),
    startInstance: async (call) => answer(await instances.start(call.param('ref'))),
    stopInstance: async (call) => answer(await instances.stop(call.param('ref'), stopOf(call))),
    restartInstance: async (call) => answer(await instances.restart(call.param('ref'), stopOf(call))),
    killInstance: (call) => instances.kill(call.param('ref'), call.text('signal') || 'KILL'),
    waitInstance: async (call) => {
      const condition = call.text('condition') === 'removed' ? 'removed' : 'not-running';
      const { code, oomKilled } = await instances.wait(call.param('ref'), condition);
      return { exitCode: code, oomKilled };
    },
    renameInstance: async (call) => answer(await instances.rename(call.param('ref'), call.required('name'))),
    pruneInstances: () => instances.prune(),
    logs: (call) => {
      const record = instances.find(call.param('ref'));
      const sinceMs = call.number('since');
      const untilMs = call.number('until');
      const tail = call.number('tail');
      const records = instances.logs(record.id, {
        follow: call.flag('follow'),
        signal: call.signal,
        ...(sinceMs === undefined ? {} : { sinceMs }),
        ...(untilMs === undefined ? {} : { untilMs }),
        ...(tail === undefined ? {} : { tail }),
      });
      return (async function* () {
        for await (const batch of records) {
          yield batch.map(({ data, ...rest }) => ({ ...rest, data: data.toString('base64') }));
        }
      })();
    },
    createExec: (call) => execAnswer(execs.create(call.param('ref'), call.body as ExecCreate)),
    startExecDetached: async (call) => execAnswer(await execs.startDetached(call.param('id'))),
    top: (call) => execs.top(call.param('ref')),
    inspectExec: (call) => execAnswer(execs.get(call.param('id'))),
    stats: (call) => {
      const references = call.all('ref');
      for (const reference of references) instances.find(reference);
      return usage.watch(references, call.flag('once'), call.signal);
    },
    readArchive: (call) => instances.readArchive(call.param('ref'), call.required('path')),
    writeArchive: (call) => instances.writeArchive(call.param('ref'), call.required('path'), call.upload),
  };
}

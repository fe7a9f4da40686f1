import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hostPaths, MockDriver, systemClock } from '@bulkhead/engine';
import { driverConformance } from '@bulkhead/testkit/driver-conformance';
import { Bench } from '../microvm/bench.ts';
import { DriverHost, processOf } from './driver-host.ts';

const SCRIPTS = { ends: 'exit 7', runs: 'exec sleep 300' };
const commands = {
  ends: ['/bin/sh', '-c', 'exit 3'],
  hello: ['/bin/sh', '-c', 'echo hello'],
  repeats: ['/bin/sh', '-c', 'cat'],
};
const argsOf = (task: 'ends' | 'runs' | 'missing'): string[] =>
  task === 'missing' ? ['/no/such/command'] : ['/bin/sh', '-c', SCRIPTS[task]];

driverConformance('the mock driver', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'bulkhead-mock-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const paths = hostPaths(join(folder, 'data'), join(folder, 'run'));
  const env = { ends: 'MOCK_RUN_FOR=5,MOCK_EXIT_CODE=7', runs: '', missing: 'MOCK_START_ERROR=command_not_found' };
  return {
    driver: new MockDriver({ level: 'container', paths, clock: systemClock }),
    plan: (task) => DriverHost.planOf(paths, [], { process: processOf([], { env: env[task].split(',') }) }),
    commands: { ends: ['exit', '3'], hello: ['echo', 'hello'], repeats: ['cat'] },
  };
});

for (const level of ['container', 'gvisor'] as const) {
  driverConformance(`the driver of level ${level}`, async (t) => {
    const host = await DriverHost.make(level);
    t.after(() => host.dispose());
    return { driver: host.driver, plan: (task) => host.plan(argsOf(task)), commands };
  });
}

driverConformance('the driver of level microvm', async (t) => {
  const bench = await Bench.open(t);
  const layer = bench.baseLayer();
  return { driver: bench.driver, plan: (task) => bench.plan([layer], argsOf(task)), commands };
});

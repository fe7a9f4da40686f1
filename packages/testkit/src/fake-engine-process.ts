/** The fake engine as a process of its own: `DIRECTORY [STEP]`; at STEP it kills itself, as a crash would. */
import { FakeEngine } from './fake-engine.ts';

const [directory, step] = process.argv.slice(2);
if (!directory) throw new Error('usage: fake-engine-process DIRECTORY [STEP]');
const engine = new FakeEngine({
  directory,
  fault: (here) => {
    if (here === step) process.kill(process.pid, 'SIGKILL');
  },
  report: (what, error) => console.error(what, error),
});
await engine.start();
process.on('SIGTERM', () => void engine.stop().then(() => process.exit(0)));
console.log('ready');

import test from 'node:test';
import { Bench } from '/work/main/packages/engine/test/microvm/bench.ts';

test('boot', async (t) => {
  const b = await Bench.open(t);
  console.log((await b.driver.fingerprint()).detail);
  const l = b.baseLayer();
  for (const i of [1, 2, 3, 4]) {
    const p = b.plan([l], ['/bin/sh', '-c', 'cat /proc/uptime; uname -r']);
    const s = performance.now();
    const h = await b.driver.start(p);
    const m = performance.now();
    await b.driver.wait(p.id);
    const o = await b.output(p);
    console.log(
      'start',
      Math.round(m - s),
      'wait',
      Math.round(performance.now() - m),
      o.stdout.toString().replace(/\n/g, ' '),
      o.stderr.toString(),
    );
    await b.driver.destroy(p.id);
  }
});

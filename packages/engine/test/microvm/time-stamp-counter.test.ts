/** The counter's rate as the host's kernel tells it. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { hostTscKhz } from '../../src/vmms/qemu/time-stamp-counter.ts';

test('the rate comes from bogomips where the counter has one rate', () => {
  assert.equal(hostTscKhz('flags\t\t: fpu tsc constant_tsc\nbogomips\t: 5192.24\n'), 2_596_120);
});

test('a counter that changes its rate, or another architecture, is left to the guest', () => {
  assert.equal(hostTscKhz('flags\t\t: fpu tsc\nbogomips\t: 5192.24\n'), undefined);
  assert.equal(hostTscKhz('BogoMIPS\t: 50.00\nFeatures\t: fp\n'), undefined);
});

/** Fakes of the engine's ports, and the suites every implementation of a port must pass. */
export { FakeClock } from './fake-clock.ts';
export { FakeEngine, type FakeEngineOptions } from './fake-engine.ts';
export { FakeImages } from './fake-images.ts';
export { FakeLogs } from './fake-logs.ts';
export { FakeNetwork } from './fake-network.ts';
export { FakePolicy } from './fake-policy.ts';
export { FakeRootfs } from './fake-rootfs.ts';

import { FakeNetwork } from '@bulkhead/testkit/fake-network';
import { networkConformance } from '@bulkhead/testkit/network-conformance';
import { bench } from './harness.ts';

networkConformance('fake network', (t) => new FakeNetwork(bench(t).paths));
networkConformance('Linux network', (t) => bench(t).network);

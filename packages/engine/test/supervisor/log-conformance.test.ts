import { FakeLogs } from '@bulkhead/testkit';
import { logConformance } from '@bulkhead/testkit/log-conformance';
import { ConmonLog } from '../../src/supervisor/conmon-log.ts';

logConformance('the fake log', () => new FakeLogs());
logConformance('the log of conmon', () => new ConmonLog({ supervisor: { reopenLog: async () => {} } }));

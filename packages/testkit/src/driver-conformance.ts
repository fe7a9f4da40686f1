/** What every level must do alike, as a table of behaviours against the API; `image` must hold a busybox. */
import assert from 'node:assert/strict';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import type { CreateInstance, Level } from '@bulkhead/contract';
import type { Client } from '@bulkhead/sdk';

export interface ConformanceSubject {
  level: Level;
  image: string;
  client: () => Client;
  /** Names of behaviours this level cannot have, with the reason; each is shown as skipped. */
  without?: Record<string, string>;
}

export interface Outcome {
  code: number;
  out: string;
  err: string;
}

class Bench {
  readonly client: Client;
  readonly #subject: ConformanceSubject;

  constructor(subject: ConformanceSubject) {
    this.#subject = subject;
    this.client = subject.client();
  }

  request(command: string[], more: Partial<CreateInstance> = {}): CreateInstance {
    const { image, level } = this.#subject;
    return { image, isolation: level, command, start: true, autoRemove: true, ...more };
  }

  async run(command: string[], more: Partial<CreateInstance> = {}, stdin?: Buffer): Promise<Outcome> {
    const { id } = await this.client.createInstance(this.request(command, { openStdin: stdin !== undefined, ...more }));
    const session = await this.client.attach(id, { logs: true, stdin: stdin !== undefined });
    if (stdin) session.stdin.end(stdin);
    const [out, err, code] = await Promise.all([text(session.stdout), text(session.stderr), session.exit]);
    return { out, err, code };
  }

  sh(script: string, more: Partial<CreateInstance> = {}): Promise<Outcome> {
    return this.run(['/bin/sh', '-c', script], more);
  }
}

type Behaviour = (bench: Bench) => Promise<void>;

const BEHAVIOURS: Record<string, Behaviour> = {
  'stdout and stderr are kept apart and the exit code is the task’s': async (bench) => {
    assert.deepEqual(await bench.sh('echo out; echo err >&2; exit 7'), { out: 'out\n', err: 'err\n', code: 7 });
  },
  'environment, directory and user are as asked': async (bench) => {
    const asked = { env: ['A=b c'], workdir: '/tmp', user: '1000:1000' };
    assert.equal((await bench.sh('echo "$A|$PWD|$(id -u):$(id -g)"', asked)).out, 'b c|/tmp|1000:1000\n');
  },
  'standard input is binary-safe and its end is seen': async (bench) => {
    const { out } = await bench.run(['/bin/sh', '-c', 'wc -c'], {}, Buffer.alloc(300_000, 1));
    assert.equal(out.trim(), '300000');
  },
  'a command that is not there says so': async (bench) => {
    await assert.rejects(bench.run(['/no/such/command']), { code: 'command_not_found' });
  },
  'a megabyte of arguments arrives': async (bench) => {
    const words = Array.from({ length: 10 }, () => 'x'.repeat(100_000));
    const { out } = await bench.run(['/bin/sh', '-c', 'for word; do printf %s "$word"; done | wc -c', 'sh', ...words]);
    assert.equal(out.trim(), '1000000');
  },
  'a signal ends it with 128 plus its number': async (bench) => {
    const { id } = await bench.client.createInstance(bench.request(['/bin/sleep', '60'], { init: true }));
    const session = await bench.client.attach(id, {});
    session.stdout.resume();
    session.stderr.resume();
    await bench.client.killInstance(id, { signal: 'KILL' });
    assert.equal(await session.exit, 137);
  },
  'an exec has its own streams, environment and exit code': async (bench) => {
    const { id } = await bench.client.createInstance(bench.request(['/bin/sleep', '60']));
    const command = ['/bin/sh', '-c', 'cat; echo "$X" >&2; exit 3'];
    const exec = await bench.client.createExec(id, { command, env: ['X=y'], openStdin: true });
    const session = await bench.client.startExec(exec.id);
    session.stdin.end('hello');
    const outcome = await Promise.all([text(session.stdout), text(session.stderr), session.exit]);
    assert.deepEqual(outcome, ['hello', 'y\n', 3]);
    await bench.client.removeInstance(id, { force: true });
  },
  'what a task writes into a volume is there for the next': async (bench) => {
    const name = `conformance-${process.pid}`;
    const mounts = [{ type: 'volume' as const, source: name, target: '/data' }];
    await bench.sh('echo kept > /data/file', { mounts });
    const readOnly = [{ ...mounts[0]!, readOnly: true }];
    const { out } = await bench.sh('cat /data/file; touch /data/other 2>/dev/null || echo refused', {
      mounts: readOnly,
    });
    assert.equal(out, 'kept\nrefused\n');
    await bench.client.removeVolume(name);
  },
  'a read-only root refuses writes, a tmpfs takes them': async (bench) => {
    const mounts = [{ type: 'tmpfs' as const, target: '/scratch' }];
    const script = 'touch /x 2>/dev/null || echo refused; touch /scratch/x && echo taken';
    assert.equal((await bench.sh(script, { readOnlyRoot: true, mounts })).out, 'refused\ntaken\n');
  },
  'hostname and hosts are its own': async (bench) => {
    const { out } = await bench.sh('hostname; grep -c mars /etc/hosts', { hostname: 'mars' });
    assert.equal(out, 'mars\n1\n');
  },
  'ten thousand lines arrive whole and in order': async (bench) => {
    const { out } = await bench.sh('seq 10000');
    assert.equal(out, Array.from({ length: 10_000 }, (_, index) => `${index + 1}\n`).join(''));
  },
};

/** Registers one test per behaviour. */
export function driverConformance(subject: ConformanceSubject): void {
  for (const [name, behaviour] of Object.entries(BEHAVIOURS)) {
    const skip = subject.without?.[name] ?? false;
    test(`${subject.level}: ${name}`, { skip }, () => behaviour(new Bench(subject)));
  }
}

/** The engine is killed at random, again and again, while clients make it work: what it said is so stays so. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BulkheadError } from '@bulkhead/contract/errors';
import { Client } from '@bulkhead/sdk';
import type { Engine } from './harness.ts';
import { assertUndisturbed, assertWholeLog, startSteady } from './steady.ts';
import { HostState, traces } from './traces.ts';

/** With a steady task at level `container`; the stronger levels get a tenth. */
const KILLS = Number(process.env.BULKHEAD_TEST_KILLS ?? 200);
const LEVELS = (process.env.BULKHEAD_TEST_LEVELS ?? 'container,gvisor,microvm').split(',');
const CLIENTS = 3;
/** Keeps the host small: what is known to be there, and has been checked, goes again. */
const CHECK_EVERY = 20;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What the engine has acknowledged of an instance, and nothing that it has not. */
interface Promised {
  id: string;
  /** `there`: in whatever state. */
  state: 'running' | 'stopped' | 'there' | 'gone';
  startedAt?: number;
}

class Load {
  over = false;
  acknowledged = 0;
  #paused = false;
  readonly #client: Client;
  readonly #promised = new Map<string, Promised>();
  #counter = 0;

  constructor(engine: Engine) {
    this.#client = new Client(engine.socket);
  }

  async work(): Promise<void> {
    while (!this.over) {
      if (this.#paused) {
        await sleep(20);
        continue;
      }
      const number = this.#counter++;
      try {
        await this.#life(`load-${number}`, number);
      } catch (error) {
        // Killed with the command under way: either is right, and nobody was told anything.
        if (!(error instanceof BulkheadError) || error.code !== 'engine_unreachable') throw error;
        await sleep(10);
      }
    }
  }

  /** One ends its life as running, one as stopped, one is removed, in turn. */
  async #life(name: string, number: number): Promise<void> {
    const ports = number % 2 === 0 ? [{ hostIp: '127.0.0.1', hostPort: 0, port: 80, protocol: 'tcp' as const }] : [];
    const made = await this.#client.createInstance({
      image: 'box',
      name,
      command: ['sleep', '300'],
      start: true,
      ports,
    });
    const { id, startedAt } = made;
    if (number % 3 === 0) {
      this.#promise(name, { id, state: 'running', ...(startedAt === undefined ? {} : { startedAt }) });
    } else if (number % 3 === 1) {
      this.#promise(name, { id, state: 'there' });
      await this.#client.stopInstance(name, { timeoutMs: 0 });
      this.#promise(name, { id, state: 'stopped' });
    } else {
      await this.#client.removeInstance(name, { force: true });
      this.#promise(name, { id, state: 'gone' });
    }
  }

  #promise(name: string, promised: Promised): void {
    this.acknowledged += 1;
    this.#promised.set(name, promised);
  }

  /** Asks for everything that was promised so far, and removes it. */
  async check(): Promise<void> {
    this.#paused = true;
    const asked = [...this.#promised];
    const there = new Map((await this.#client.listInstances({ all: true })).map((each) => [each.name, each]));
    const known: string[] = [];
    for (const [name, { id, state, startedAt }] of asked) {
      const found = there.get(name);
      if (state === 'gone') {
        assert.equal(found, undefined, `${name} was removed`);
      } else {
        assert.ok(found, `${name} is lost`);
        assert.deepEqual([found.id, found.restartCount], [id, 0], name);
        if (state !== 'there') assert.equal(found.state, state, name);
        if (startedAt !== undefined) assert.equal(found.startedAt, startedAt, `${name} was restarted`);
      }
      // A stop may still be on its way to it.
      if (state === 'there') continue;
      this.#promised.delete(name);
      if (found) known.push(found.id);
    }
    await this.#remove(known);
    this.#paused = false;
  }

  async removeAllBut(id: string): Promise<void> {
    await this.#remove(
      (await this.#client.listInstances({ all: true })).map((each) => each.id).filter((each) => each !== id),
    );
  }

  async #remove(ids: string[]): Promise<void> {
    const queue = [...ids];
    const remover = async (): Promise<void> => {
      for (let id = queue.pop(); id !== undefined; id = queue.pop())
        await this.#client.removeInstance(id, { force: true });
    };
    await Promise.all([remover(), remover(), remover(), remover()]);
  }
}

/** Every fifth kill hits an engine that is still recovering from the one before. */
async function killAndBoot(engine: Engine, kill: number): Promise<void> {
  await engine.crash();
  if (kill % 5 === 4) {
    const cut = engine.boot().catch(() => undefined);
    await sleep(Math.random() * 600);
    await engine.crash();
    await cut;
  }
  await engine.boot();
}

for (const level of LEVELS) {
  const kills = level === 'container' ? KILLS : Math.ceil(KILLS / 10);
  describe(`killing the engine at random under load, with a steady task at level ${level}`, () => {
    it(`${kills} times disturbs nothing, forgets nothing, leaks nothing`, { timeout: 14 * 60_000 }, async (t) => {
      const { engine, steady } = await startSteady(level);
      t.after(() => engine.dispose());
      // Layers are mounted once for all containers, and stay.
      await engine.ok('run', '--rm', 'box', 'true');
      const host = await HostState.take(engine, [steady.id]);
      const load = new Load(engine);
      const clients = Promise.all(Array.from({ length: CLIENTS }, () => load.work()));
      // Told at the end, unless a kill fails first.
      clients.catch(() => undefined);
      try {
        for (let kill = 0; kill < kills; kill++) {
          await sleep(20 + Math.random() * 150);
          await killAndBoot(engine, kill);
          if (kill % CHECK_EVERY === CHECK_EVERY - 1) await load.check();
        }
      } finally {
        load.over = true;
        await clients;
      }
      assert.ok(load.acknowledged > kills / 2, `only ${load.acknowledged} commands got through`);
      t.diagnostic(`${load.acknowledged} commands were acknowledged`);
      await load.check();
      await assertUndisturbed(engine, steady);
      await assertWholeLog(engine);
      await load.removeAllBut(steady.id);
      await host.assertSame();
      await engine.dispose();
      assert.deepEqual(traces(engine), [], 'what a purge leaves');
    });
  });
}

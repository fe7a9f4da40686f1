/** Everything an engine has on this host, so that a test can say: after it the host is as it was before. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Engine } from './harness.ts';

const ID = /\b[0-9a-f]{32}\b/g;
/** Deeper are the files of tasks. */
const DEPTH = 2;
/** Made when they are first needed, and kept. */
const KEPT =
  /^file (run\/(vmm|bin|crun|runsc|persist|exits|attach|pids|net|l|filters)|data\/(vmm|tmp|doctor|volumes|probes?\.json))/;
const LIMIT_MS = 20_000;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');
const output = (command: string, ...args: string[]): string => spawnSync(command, args, { encoding: 'utf8' }).stdout;

function files(folder: string, label: string, depth = DEPTH): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const name = `${label}/${entry.name}`;
    const inner = entry.isDirectory() && depth > 1 ? files(path.join(folder, entry.name), name, depth - 1) : [];
    return [`file ${name}`, ...inner];
  });
}

function processes(engine: Engine): string[] {
  return lines(output('ps', '-eo', 'pid=,args='))
    .filter((line) => line.includes(engine.folder) && Number.parseInt(line, 10) !== engine.pid)
    .map((line) => `process ${line.trim().replace(/^\d+ /, '').slice(0, 200)}`);
}

/** Names of what exists on the host for this engine. */
export function traces(engine: Engine): string[] {
  const { tag, folder } = engine;
  const mounts = lines(readFileSync('/proc/self/mounts', 'utf8'))
    .map((line) => line.split(' ')[1] ?? '')
    .filter((target) => target.startsWith(`${folder}/`));
  const loops = lines(output('losetup', '-ln', '-O', 'BACK-FILE')).filter((file) => file.includes(folder));
  const links = readdirSync('/sys/class/net').filter((name) => name.startsWith(`b${tag}`));
  const netns = existsSync('/run/netns')
    ? readdirSync('/run/netns').filter((name) => name.startsWith(`bh${tag}-`))
    : [];
  const groups = globSync(`/sys/fs/cgroup/{,*/}bulkhead-${tag}/{,**/}`);
  const tables = lines(output('nft', 'list', 'tables')).filter((line) => line.endsWith(`bulkhead_${tag}`));
  const rules = ['inet', 'bridge'].flatMap((family) => {
    const table = output('nft', 'list', 'table', family, `bulkhead_${tag}`);
    return (table.match(/b[0-9a-f]{6}v[0-9a-z]+|\d+\.\d+\.\d+\.\d+ \. \d+/g) ?? []).map(
      (each) => `rule ${family} ${each}`,
    );
  });
  return [
    ...processes(engine),
    ...mounts.map((target) => `mount ${path.relative(folder, target)}`),
    ...loops.map((file) => `loop ${file}`),
    ...links.map((name) => `link ${name}`),
    ...netns.map((name) => `netns ${name}`),
    ...groups.map((group) => `cgroup ${group}`),
    ...tables,
    ...rules,
    ...[...files(engine.run, 'run'), ...files(engine.data, 'data')].filter((file) => !/\.(sock|db-\w+)$/.test(file)),
  ];
}

/** Counts by kind: ids and numbers differ from one moment to the next, those of `steady` must not. */
function kinds(found: string[], steady: string[], tag: string): Map<string, number> {
  const counted = new Map<string, number>();
  for (const trace of found) {
    const kind = trace
      .replaceAll(ID, (id) => (steady.includes(id) ? id : 'ID'))
      .replaceAll(new RegExp(`b${tag}v[0-9a-z]+`, 'g'), 'VETH')
      .replaceAll(new RegExp(`bh${tag}-\\d+`, 'g'), 'NETNS')
      .replaceAll(/\d+\.\d+\.\d+\.\d+/g, 'IP');
    counted.set(kind, (counted.get(kind) ?? 0) + 1);
  }
  return counted;
}

export class HostState {
  readonly #engine: Engine;
  readonly #steady: string[];
  readonly #before: Map<string, number>;

  private constructor(engine: Engine, steady: string[], before: Map<string, number>) {
    this.#engine = engine;
    this.#steady = steady;
    this.#before = before;
  }

  /** Of an engine that has just come up: what it keeps ready is then as much as ever. */
  static async take(engine: Engine, steady: string[]): Promise<HostState> {
    await HostState.#restart(engine);
    let last = '';
    // Until nothing changes for a second.
    for (let calm = 0; calm < 5; await sleep(200)) {
      const now = JSON.stringify([...kinds(traces(engine), steady, engine.tag)]);
      calm = now === last ? calm + 1 : 0;
      last = now;
    }
    return new HostState(engine, steady, new Map(JSON.parse(last)));
  }

  static async #restart(engine: Engine): Promise<void> {
    await engine.crash();
    await engine.boot();
  }

  /** What there is now and was not before, and what is gone. */
  #difference(): string[] {
    const now = kinds(traces(this.#engine), this.#steady, this.#engine.tag);
    return [...new Set([...now.keys(), ...this.#before.keys()])].flatMap((kind) => {
      const more = (now.get(kind) ?? 0) - (this.#before.get(kind) ?? 0);
      return more === 0 || (KEPT.test(kind) && !kind.includes('ID')) ? [] : [`${more > 0 ? '+' : ''}${more} ${kind}`];
    });
  }

  async assertSame(): Promise<void> {
    await HostState.#restart(this.#engine);
    const deadline = Date.now() + LIMIT_MS;
    while (this.#difference().length > 0 && Date.now() < deadline) await sleep(200);
    assert.deepEqual(this.#difference(), [], 'left on the host, or gone from it');
  }
}

/** Images out of and into a real Docker daemon, with folders of its own and without a network. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryDirectory } from '../temporary-directory.ts';
import { makeImage, makeStore, startRegistry, tarOf, upload } from './registry.ts';

/** Its socket, as DOCKER_HOST names it. */
async function startDaemon(t: TestContext): Promise<string> {
  const folder = temporaryDirectory(t);
  const socket = `unix://${folder}/sock`;
  const log = openSync(path.join(folder, 'log'), 'w');
  const own = ['--data-root', `${folder}/data`, '--exec-root', `${folder}/exec`, '--pidfile', `${folder}/pid`];
  const quiet = ['--bridge', 'none', '--iptables=false', '--ip6tables=false', '--storage-driver', 'vfs'];
  const daemon = spawn('dockerd', [...own, ...quiet, '-H', socket], { stdio: ['ignore', log, log] });
  t.after(async () => {
    const ended = once(daemon, 'exit');
    if (daemon.exitCode !== null) return;
    daemon.kill('SIGTERM');
    await ended;
  });
  for (let attempt = 0; attempt < 300; attempt++) {
    if (spawnSync('docker', ['-H', socket, 'version'], { stdio: 'ignore' }).status === 0) return socket;
    if (daemon.exitCode !== null) break;
    await sleep(100);
  }
  assert.fail(`dockerd does not answer: ${readFileSync(path.join(folder, 'log'), 'utf8').slice(-1000)}`);
}

test('docker-daemon: an image is taken over from Docker, given to it, and missed by its name', async (t) => {
  const docker = await startDaemon(t);
  const address = await startRegistry(t);
  const image = makeImage([tarOf(t, { a: '1' })], { config: { Cmd: ['/a'] } });
  await upload(address, 'app', '1', image);
  const { store } = makeStore(t, { dockerHost: docker });
  await store.pull(`${address}/app:1`, {});
  await store.push(`${address}/app:1`, 'docker-daemon:example.com/given:1', {});
  const archive = path.join(temporaryDirectory(t), 'archive.tar');
  await pipeline(await store.save([`${address}/app:1`], 'docker-archive'), createWriteStream(archive));
  const loaded = spawnSync('docker', ['-H', docker, 'load', '-i', archive], { encoding: 'utf8' });
  assert.equal(loaded.status, 0, loaded.stderr);

  const other = makeStore(t, { dockerHost: docker }).store;
  for (const name of ['example.com/given:1', `${address}/app:1`]) {
    const pulled = await other.pull(`docker-daemon:${name}`, {});
    assert.deepEqual(pulled.tags.includes(name), true);
    assert.deepEqual([pulled.config.cmd, pulled.layers], [['/a'], image.diffIds]);
  }
  await assert.rejects(other.pull('docker-daemon:example.com/never:1', {}), { code: 'no_such_image' });
});

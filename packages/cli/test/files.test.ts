/** cp, build, load and save: what goes over the wire is right, and what comes out of an instance stays in its place. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { BulkheadError } from '@bulkhead/contract/errors';
import { bulkhead, FakeEngine } from './fake-engine.ts';

const tar = (cwd: string, ...args: string[]) => execFileSync('tar', ['-c', ...args], { cwd });
const list = (archive: Buffer) =>
  execFileSync('tar', ['-tf', '-'], { input: archive })
    .toString()
    .trim()
    .split('\n')
    .map((name) => name.replace(/\/$/, ''));

/** Both sides of an instance: `archives` by path. */
async function engineWith(t: Parameters<typeof FakeEngine.start>[0], archives: Record<string, Buffer>) {
  return FakeEngine.start(t, {
    readArchive({ query }) {
      const archive = archives[query.get('path')!];
      if (!archive) throw new BulkheadError('no_such_path', `no ${query.get('path')}`);
      return archive;
    },
    writeArchive: () => undefined,
  });
}

test('cp out keeps Docker’s rules for names', async (t) => {
  const archives: Record<string, Buffer> = {};
  const engine = await engineWith(t, archives);
  const here = engine.directory;
  mkdirSync(join(here, 'src/conf/sub'), { recursive: true });
  writeFileSync(join(here, 'src/conf/a'), 'A', { mode: 0o755 });
  writeFileSync(join(here, 'src/conf/sub/b'), 'B');
  archives['/etc/conf'] = tar(join(here, 'src'), 'conf');
  archives['/etc/conf/a'] = tar(join(here, 'src/conf'), 'a');
  const cp = (...args: string[]) => bulkhead(engine.socket, ['cp', ...args], { cwd: here });

  mkdirSync(join(here, 'out'));
  assert.equal((await cp('web:/etc/conf', 'out')).code, 0);
  assert.equal(readFileSync(join(here, 'out/conf/sub/b'), 'utf8'), 'B');
  assert.equal((await cp('web:/etc/conf', 'fresh')).code, 0);
  assert.equal(readFileSync(join(here, 'fresh/a'), 'utf8'), 'A');
  assert.equal((await cp('web:/etc/conf/.', 'out')).code, 0);
  assert.equal(readFileSync(join(here, 'out/a'), 'utf8'), 'A');
  assert.equal((await cp('web:/etc/conf/a', 'renamed')).code, 0);
  assert.equal(lstatSync(join(here, 'renamed')).mode & 0o777, 0o755);
  assert.equal((await cp('web:/etc/conf/a', 'out/sub/')).code, 1 - 1);
  assert.equal((await cp('web:/etc/conf/a', 'none/a')).code, 1);
  assert.ok((await cp('web:/etc/conf', '-')).stdout.equals(archives['/etc/conf']));
  assert.equal((await cp('web:/nothing', 'x')).code, 1);
  assert.deepEqual(
    readdirSync(here).filter((name) => name.startsWith('.bulkhead')),
    [],
  );
});

test('a hostile archive writes nothing outside of the destination', async (t) => {
  const archives: Record<string, Buffer> = {};
  const engine = await engineWith(t, archives);
  const here = engine.directory;
  mkdirSync(join(here, 'victim'));
  mkdirSync(join(here, 'dst/d'), { recursive: true });
  symlinkSync('../../victim', join(here, 'dst/d/link'));
  mkdirSync(join(here, 'evil/d/link'), { recursive: true });
  writeFileSync(join(here, 'evil/d/link/planted'), 'through a link that is there');
  writeFileSync(join(here, 'evil/x'), 'up');
  execFileSync('mkfifo', [join(here, 'evil/d/fifo')]);
  const victim = join(here, 'victim');
  const script = `
import io, sys, tarfile
t = tarfile.open(fileobj=sys.stdout.buffer, mode='w|')
def add(name, kind, data=b'', link=''):
    i = tarfile.TarInfo(name); i.type = kind; i.linkname = link; i.size = len(data); i.mode = 0o4755; t.addfile(i, io.BytesIO(data))
add('d', tarfile.DIRTYPE); add('d/l', tarfile.SYMTYPE, link=${JSON.stringify(victim)}); add('d/l/planted', tarfile.REGTYPE, b'x')
add('../planted', tarfile.REGTYPE, b'x'); add(${JSON.stringify(`${victim}/planted`)}, tarfile.REGTYPE, b'x'); add('d/suid', tarfile.REGTYPE, b'x'); t.close()`;
  archives['/one'] = tar(join(here, 'evil'), 'd');
  archives['/two'] = execFileSync('python3', ['-c', script]);
  archives['/three'] = tar(join(here, 'evil'), '--absolute-names', '--transform=s,^x,../../victim/planted,', 'x');
  for (const path of ['/one', '/two', '/three']) {
    await bulkhead(engine.socket, ['cp', `web:${path}`, 'dst'], { cwd: here });
    assert.deepEqual(readdirSync(victim), [], path);
    assert.ok(!existsSync(join(here, 'planted')), path);
  }
  assert.ok(lstatSync(join(here, 'dst/d/link')).isSymbolicLink());
  const fresh = await bulkhead(engine.socket, ['cp', 'web:/one', 'fresh'], { cwd: here });
  assert.match(fresh.stderr, /left out .*fifo/);
  assert.ok(!existsSync(join(here, 'fresh/fifo')));
});

test('cp in names the root entry after the destination', async (t) => {
  const archives: Record<string, Buffer> = {};
  const engine = await engineWith(t, archives);
  const here = engine.directory;
  mkdirSync(join(here, 'site/deep'), { recursive: true });
  writeFileSync(join(here, 'site/deep/a&b|c'), 'x');
  writeFileSync(join(here, 'file'), 'f');
  archives['/srv'] = tar(here, 'site');
  const sent = async (...args: string[]) => {
    const { code, stderr } = await bulkhead(engine.socket, ['cp', ...args], { cwd: here, input: 'raw' });
    assert.deepEqual([code, stderr], [0, '']);
    const call = engine.called('writeArchive').at(-1)!;
    return { path: call.query.get('path'), upload: call.upload };
  };
  const names = async (...args: string[]) => {
    const { path, upload } = await sent(...args);
    return [path, ...list(upload)];
  };
  assert.deepEqual(await names('site', 'web:/srv'), ['/srv', 'site', 'site/deep', 'site/deep/a&b|c']);
  assert.deepEqual(await names('site', 'web:/new&x'), ['/', 'new&x', 'new&x/deep', 'new&x/deep/a&b|c']);
  assert.deepEqual(await names('site/.', 'web:/srv'), ['/srv', '.', './deep', './deep/a&b|c']);
  assert.deepEqual(await names('file', 'web:/srv/'), ['/srv', 'file']);
  assert.deepEqual(await names('file', 'web:/etc/other'), ['/etc', 'other']);
  const piped = await sent('-', 'web:/srv');
  assert.deepEqual([piped.path, piped.upload.toString()], ['/srv', 'raw']);
  assert.equal((await bulkhead(engine.socket, ['cp', 'absent', 'web:/srv'], { cwd: here })).code, 125);
});

test('build sends the directory without what .dockerignore names', async (t) => {
  const engine = await FakeEngine.start(t, {
    async *buildImage() {
      yield { phase: 'building', message: 'STEP 1\n' };
      yield { phase: 'done', message: 'sha256:aa' };
    },
  });
  const context = join(engine.directory, 'context');
  mkdirSync(join(context, 'node_modules/x'), { recursive: true });
  mkdirSync(join(context, 'src'));
  for (const name of ['Dockerfile', 'src/a', 'node_modules/x/y', 'secret.env'])
    writeFileSync(join(context, name), name);
  writeFileSync(join(context, '.dockerignore'), 'node_modules\n*.env\nDockerfile\n');
  const args = ['build', '-t', 'app:1', '--build-arg', 'A=1', '--no-cache', context];
  const { code, stdout, stderr } = await bulkhead(engine.socket, args);
  assert.deepEqual([code, stdout.toString(), stderr], [0, 'sha256:aa\n', 'STEP 1\n']);
  const [call] = engine.called('buildImage');
  assert.deepEqual(list(call!.upload), ['./.dockerignore', './Dockerfile', './src', './src/a']);
  assert.equal(call!.query.toString(), 'dockerfile=Dockerfile&tag=app%3A1&arg=A%3D1&noCache=1');
  assert.equal((await bulkhead(engine.socket, ['build', engine.directory])).code, 125);
});

test('save leaves no half file behind, load says what it loaded', async (t) => {
  const engine = await FakeEngine.start(t, {
    saveImage: () => Buffer.from('archive'),
    async *loadImage() {
      yield { phase: 'done', message: 'app:1 app:2' };
    },
  });
  const file = join(engine.directory, 'out.tar');
  assert.equal((await bulkhead(engine.socket, ['save', '-o', file, 'app:1'])).code, 0);
  assert.equal(readFileSync(file, 'utf8'), 'archive');
  assert.equal((await bulkhead(engine.socket, ['save', '-o', '/nowhere/x', 'app:1'])).code, 125);
  const loaded = await bulkhead(engine.socket, ['load', '-i', file]);
  assert.equal(loaded.stdout.toString(), 'Loaded image: app:1\nLoaded image: app:2\n');
  assert.equal(engine.called('loadImage')[0]!.upload.toString(), 'archive');
  assert.equal((await bulkhead(engine.socket, ['load', '-i', '/nowhere'])).code, 125);
});

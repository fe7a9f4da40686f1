/** The client against a server on a real unix socket: addresses, errors, streams and sessions. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { ROUTES } from '@bulkhead/contract/routes';
import { encodeFrame, FRAME, FrameDecoder } from '@bulkhead/contract/stream';
import { BulkheadError, Client, socketPath } from '../src/index.ts';
import { address } from '../src/transport.ts';

async function serve(
  t: TestContext,
  handle: http.RequestListener,
  upgrade?: (socket: Socket) => void,
): Promise<Client> {
  const directory = mkdtempSync(join(tmpdir(), 'bulkhead-sdk-'));
  const server = http.createServer(handle);
  server.on('upgrade', (_request, socket) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: bulkhead-stream\r\n\r\n');
    upgrade?.(socket as Socket);
  });
  t.after(() => {
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const path = join(directory, 'api.sock');
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return new Client(`unix://${path}`);
}

test('names are escaped in addresses, absent and false query values are left out', () => {
  const query = { all: true, force: false, since: undefined, filter: ['a=1', 'b=&'] };
  assert.equal(
    address(ROUTES.logs, { params: { ref: '../x y' }, query }),
    '/v1/instances/..%2Fx%20y/logs?all=1&filter=a%3D1&filter=b%3D%26',
  );
  assert.equal(socketPath('unix:///run/x.sock'), '/run/x.sock');
  assert.equal(socketPath('/run/x.sock'), '/run/x.sock');
  assert.equal(socketPath(undefined), '/run/bulkhead/api.sock');
});

test('a missing socket is engine_unreachable with the way out', async () => {
  await assert.rejects(new Client('/nowhere/api.sock').ping(), (error) => {
    return error instanceof BulkheadError && error.code === 'engine_unreachable' && /bulkhead up/.test(error.hint);
  });
});

test('an error body becomes a BulkheadError, a code from the future an internal one', async (t) => {
  let body: unknown = { code: 'name_in_use', message: 'taken', hint: 'another', at: 'f:1:2' };
  const client = await serve(t, (_request, response) => {
    response.writeHead(409).end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  await assert.rejects(client.listImages(), { code: 'name_in_use', message: 'taken', hint: 'another', at: 'f:1:2' });
  body = { error: { code: 'from_the_future', message: 'new', hint: '' } };
  await assert.rejects(client.listImages(), { code: 'internal', message: 'new' });
  body = '<html>';
  await assert.rejects(client.listImages(), { code: 'internal', message: 'the engine answered 409 <html>' });
});

test('lines come one by one over any chunking, and a last error is thrown', async (t) => {
  const text = '{"seq":1}\n{"seq":2,"id":"é"}\n{"error":{"code":"timeout","message":"late","hint":"h"}}\n';
  const client = await serve(t, (_request, response) => {
    for (const byte of Buffer.from(text)) response.write(Buffer.from([byte]));
    response.end();
  });
  const seen: unknown[] = [];
  await assert.rejects(
    async () => {
      for await (const event of client.events()) seen.push(event);
    },
    { code: 'timeout', message: 'late' },
  );
  assert.deepEqual(seen, [{ seq: 1 }, { seq: 2, id: 'é' }]);
});

test('leaving a stream closes its connection; one cut off is an error', async (t) => {
  let closed = false;
  let cut = false;
  const client = await serve(t, (_request, response) => {
    response.on('close', () => {
      closed = true;
    });
    response.write('{"seq":1}\n');
    if (cut) setTimeout(() => response.destroy(), 20);
  });
  for await (const _ of client.events()) break;
  for (let waited = 0; !closed && waited < 100; waited++) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(closed);
  cut = true;
  await assert.rejects(
    async () => {
      for await (const _ of client.events());
    },
    { code: 'engine_unreachable' },
  );
});

test('an upload is refused with the engine’s words even while it is still being sent', async (t) => {
  const client = await serve(t, (_request, response) => {
    response
      .writeHead(422, { connection: 'close' })
      .end(JSON.stringify({ code: 'archive_rejected', message: 'bad', hint: '' }));
  });
  const endless = Readable.from(
    (async function* () {
      for (let at = 0; at < 50; at++) {
        yield Buffer.alloc(65536);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    })(),
  );
  await assert.rejects(client.writeArchive('x', '/', endless), { code: 'archive_rejected' });
});

test('a session carries both ways, and a slow reader holds the sender back', async (t) => {
  const total = 20_000_000;
  let sent = 0;
  const client = await serve(
    t,
    () => {},
    (socket) => {
      const pump = (): void => {
        while (sent < total) {
          sent += 100_000;
          if (!socket.write(encodeFrame(FRAME.stdout, Buffer.alloc(100_000)))) return void socket.once('drain', pump);
        }
        const exit = Buffer.alloc(4);
        exit.writeInt32BE(9);
        socket.end(encodeFrame(FRAME.exit, exit));
      };
      pump();
    },
  );
  const session = await client.attach('x');
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.ok(sent < total / 2, `${sent} bytes were sent to nobody`);
  let got = 0;
  for await (const chunk of session.stdout) got += chunk.length;
  assert.equal(got, total);
  assert.equal(await session.exit, 9);
});

test('input, size and signals are framed; an error frame rejects the exit', async (t) => {
  const frames: [number, string][] = [];
  const client = await serve(
    t,
    () => {},
    (socket) => {
      const decoder = new FrameDecoder();
      socket.on('data', (chunk: Buffer) => {
        for (const { type, payload } of decoder.feed(chunk)) {
          frames.push([type, payload.toString('latin1')]);
          if (type === FRAME.stdinEnd)
            socket.end(encodeFrame(FRAME.error, Buffer.from('{"code":"start_failed","message":"no","hint":"h"}')));
        }
      });
    },
  );
  const session = await client.startExec('e');
  session.resize(80, 24);
  session.signal('TERM');
  session.stdin.end('in');
  session.stdout.resume();
  await assert.rejects(session.exit, { code: 'start_failed', message: 'no' });
  assert.deepEqual(frames, [
    [FRAME.resize, '\0P\0\x18'],
    [FRAME.signal, 'TERM'],
    [FRAME.stdin, 'in'],
    [FRAME.stdinEnd, ''],
  ]);
});

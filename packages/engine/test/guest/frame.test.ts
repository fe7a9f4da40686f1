/** The host's decoder: frames over any cuts, and refusal of everything a hostile guest could claim. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { GuestChannel } from '../../src/drivers/microvm/channel.ts';
import {
  encodeFrame,
  encodeRequest,
  FrameDecoder,
  HelloScanner,
  MAX_BODY_BYTES,
  ProtocolViolation,
  ToGuest,
  ToHost,
} from '../../src/drivers/microvm/channel-frame.ts';

const FUZZ_MS = 2000;

test('frames come out whole however their bytes are cut', () => {
  const bodies = [Buffer.alloc(0), randomBytes(1), randomBytes(5000), randomBytes(MAX_BODY_BYTES)];
  const bytes = Buffer.concat(bodies.map((body, at) => encodeFrame(ToHost.stdout, at, body)));
  for (const step of [1000, 4096, 7, bytes.length]) {
    const decoder = new FrameDecoder();
    const found = [];
    for (let at = 0; at < bytes.length; at += step) found.push(...decoder.push(bytes.subarray(at, at + step)));
    assert.deepEqual(
      found.map((frame) => frame.stream),
      [0, 1, 2, 3],
    );
    assert.ok(found.every((frame, at) => frame.body.equals(bodies[at]!)));
  }
});

test('a request longer than a frame is sent in parts', () => {
  const frames = encodeRequest(ToGuest.exec, 7, Buffer.alloc(MAX_BODY_BYTES * 2 + 1));
  assert.deepEqual(
    frames.map((frame) => frame[3]),
    [ToGuest.part, ToGuest.part, ToGuest.exec],
  );
});

test('wrong magic, version, type, length or end mark is a violation', () => {
  const good = encodeFrame(ToHost.ok, 1, Buffer.from('x'));
  for (const [at, value] of [
    [0, 0],
    [2, 9],
    [3, 0x01],
    [3, 0xff],
    [8, 0],
    [11, 0xff],
    [good.length - 1, 0],
  ] as const) {
    const bad = Buffer.from(good);
    bad[at] = value;
    assert.throws(() => [...new FrameDecoder().push(bad)], ProtocolViolation, `byte ${at}`);
  }
});

test('the answer to a hello is found in garbage, cut anywhere', () => {
  const nonce = randomBytes(16);
  const answer = encodeFrame(ToHost.hello, 0, Buffer.concat([nonce, Buffer.from('rest')]));
  const bytes = Buffer.concat([randomBytes(3000), nonce, randomBytes(50), answer]);
  const scanner = new HelloScanner(nonce);
  let found: Buffer | undefined;
  for (let at = 0; at < bytes.length && !found; at += 5) found = scanner.push(bytes.subarray(at, at + 5));
  assert.ok(found?.subarray(0, 28).equals(answer.subarray(0, 28)));
});

test('random and mutated bytes give frames or a violation, nothing else', () => {
  const end = Date.now() + FUZZ_MS;
  while (Date.now() < end) {
    const bytes = Buffer.concat(
      Array.from({ length: 20 }, () =>
        encodeFrame(0x81 + (randomBytes(1)[0]! % 8), 1, randomBytes(randomBytes(1)[0]!)),
      ),
    );
    for (const at of randomBytes(6)) bytes[at * 4] = randomBytes(1)[0]!;
    const decoder = new FrameDecoder();
    try {
      for (let at = 0; at < bytes.length; at += 97)
        for (const frame of decoder.push(bytes.subarray(at, at + 97))) assert.ok(frame.body.length <= MAX_BODY_BYTES);
    } catch (error) {
      assert.ok(error instanceof ProtocolViolation, String(error));
    }
  }
});

/** A guest that greets rightly and then says `bytes`. */
async function hostileGuest(t: TestContext, bytes: Buffer): Promise<GuestChannel> {
  const directory = mkdtempSync(join(tmpdir(), 'bulkhead-hostile-'));
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.once('data', (hello: Buffer) => {
      const text = Buffer.from([1, 0, 0, 0, 0x31]);
      const body = Buffer.concat([hello.subarray(12, 28), text, text, Buffer.from([1, 0, 0, 0, 0])]);
      socket.write(Buffer.concat([encodeFrame(ToHost.hello, 0, body), bytes]));
    });
  });
  const path = join(directory, 's');
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return GuestChannel.connect(path, { timeoutMs: 5000, fresh: true });
}

test('a violation after the greeting closes the channel and rejects what waits', { timeout: 20_000 }, async (t) => {
  const lies: Record<string, Buffer> = {
    garbage: randomBytes(64),
    'an exit code of 300': encodeFrame(ToHost.exit, 0, Buffer.from([0x2c, 1, 0, 0, 0])),
    'an exit cut short': encodeFrame(ToHost.exit, 0, Buffer.from([1])),
    'credit without end': encodeFrame(ToHost.window, 0, Buffer.from([0xff, 0xff, 0xff, 0xff])),
  };
  for (const [name, bytes] of Object.entries(lies)) {
    await t.test(name, async (inner) => {
      const outcome = hostileGuest(inner, bytes).then(async (channel) => {
        await assert.rejects(channel.waitTask());
        await channel.closed;
        await assert.rejects(channel.stats());
        throw channel.failure ?? new Error('closed without a reason');
      });
      await assert.rejects(outcome, /broke the protocol|frame|exit code|message|window|begin/);
    });
  }
  await t.test('what it says of unknown streams is ignored', async (inner) => {
    const channel = await hostileGuest(
      inner,
      Buffer.concat([
        encodeFrame(ToHost.ok, 999),
        encodeFrame(ToHost.stdout, 5, Buffer.from('x')),
        encodeFrame(ToHost.exit, 0, Buffer.from([3, 0, 0, 0, 0])),
      ]),
    );
    assert.deepEqual(await channel.waitTask(), { code: 3, oomKilled: false });
    channel.close();
  });
});

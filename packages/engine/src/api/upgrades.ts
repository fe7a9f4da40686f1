/** Connections that leave HTTP behind: attach and exec, spoken in the frames of contract/stream.ts. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { BulkheadError, type CreateInstance } from '@bulkhead/contract';
import type { Lifecycle } from '../lifecycle/lifecycle.ts';
import { attach } from './attach-stream.ts';
import { streamExec } from './exec-stream.ts';
import { failureOf } from './failure.ts';
import { FrameSocket } from './frame-socket.ts';
import { readUpgradeBody } from './upgrade-body.ts';
import { validate } from './validation.ts';

const PROTOCOL = 'bulkhead-stream';
const ACCEPTED = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${PROTOCOL}\r\n`;
const ATTACH = /^\/v1\/instances\/([^/]+)\/attach$/;
const RUN = '/v1/instances/run';
const EXEC = /^\/v1\/exec\/([^/]+)\/start$/;

export class Upgrades {
  readonly #lifecycle: Lifecycle;
  readonly #report: (what: string, error: unknown) => void;
  readonly #sockets = new Set<Duplex>();

  constructor(lifecycle: Lifecycle, report: (what: string, error: unknown) => void) {
    this.#lifecycle = lifecycle;
    this.#report = report;
  }

  serve(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Until its frames are read, an error of the socket has nobody else to hear it.
    socket.on('error', () => undefined);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    this.#route(request, socket, head).catch((error: unknown) => {
      const { status, body } = failureOf(error, this.#report);
      const text = JSON.stringify(body);
      socket.end(
        `HTTP/1.1 ${status} Refused\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\nconnection: close\r\n\r\n${text}`,
      );
    });
  }

  /** The engine ends: clients find their connection gone, tasks run on. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async #route(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    if (request.headers.upgrade !== PROTOCOL) {
      throw new BulkheadError('invalid_request', `the only upgrade is ${PROTOCOL}`);
    }
    const url = new URL(request.url ?? '/', 'http://engine');
    const flag = (name: string) => (url.searchParams.get(name) ?? '0') !== '0';
    if (request.method === 'POST' && url.pathname === RUN) {
      const { body, rest } = await readUpgradeBody(request, socket, head);
      const task = validate('CreateInstanceSchema', body) as CreateInstance;
      const record = await this.#lifecycle.instances.create({ ...task, start: true });
      const options = { logs: true, stdin: flag('stdin') };
      const headers = `Bulkhead-Instance: ${record.id}\r\n`;
      await this.#speak(socket, (frames) => attach(this.#lifecycle, record, options, frames, rest), headers);
      return;
    }
    const attached = ATTACH.exec(url.pathname)?.[1];
    if (attached) {
      const record = this.#lifecycle.instances.find(decodeURIComponent(attached));
      const options = { logs: flag('logs'), stdin: flag('stdin') };
      await this.#speak(socket, (frames) => attach(this.#lifecycle, record, options, frames, head));
      return;
    }
    const exec = EXEC.exec(url.pathname)?.[1];
    if (!exec) throw new BulkheadError('not_found', `the API has no upgrade at ${url.pathname}`);
    const { session, exec: started } = await this.#lifecycle.execs.start(decodeURIComponent(exec));
    const columns = Number(url.searchParams.get('columns'));
    const rows = Number(url.searchParams.get('rows'));
    if (columns > 0 && rows > 0) session.resize(columns, rows);
    await this.#speak(socket, (frames) => streamExec(session, started.process.stdin, frames, head));
  }

  async #speak(socket: Duplex, body: (frames: FrameSocket) => Promise<void>, headers = ''): Promise<void> {
    const frames = new FrameSocket(socket);
    socket.write(`${ACCEPTED}${headers}\r\n`);
    try {
      await body(frames);
    } catch (error) {
      frames.fail(failureOf(error, this.#report).body);
    }
  }
}

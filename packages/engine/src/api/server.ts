/** The HTTP server on a unix socket: route, validate, use case, error map. It decides nothing. */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BulkheadError, ROUTES, type Route, type RouteName } from '@bulkhead/contract';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Lifecycle } from '../lifecycle/lifecycle.ts';
import { Call } from './call.ts';
import { composeRoutes } from './compose-routes.ts';
import { failureOf } from './failure.ts';
import { instanceRoutes } from './instance-routes.ts';
import { MAX_BODY_BYTES, parseBody } from './json-body.ts';
import { imageRoutes, networkRoutes, volumeRoutes } from './resource-routes.ts';
import type { Handler, Handlers } from './routes.ts';
import { type SystemDeps, systemRoutes } from './system-routes.ts';
import { Upgrades } from './upgrades.ts';
import { validate } from './validation.ts';

export type Report = (what: string, error: unknown) => void;

export class ApiServer {
  readonly #app: FastifyInstance;
  readonly #report: Report;
  readonly #upgrades: Upgrades;

  constructor(lifecycle: Lifecycle, system: SystemDeps, report: Report) {
    this.#report = report;
    this.#app = Fastify({
      bodyLimit: MAX_BODY_BYTES,
      // Uploads and attached clients take as long as they take; only the user of the socket can reach us.
      requestTimeout: 0,
      connectionTimeout: 0,
      keepAliveTimeout: 5000,
      routerOptions: { maxParamLength: 512 },
      forceCloseConnections: true,
      frameworkErrors: (error, _request, reply) => {
        const { status, body } = failureOf(error, report);
        (reply as FastifyReply).status(status).send(body);
      },
    });
    this.#parsers();
    const handlers: Handlers = {
      ...systemRoutes(lifecycle, system),
      ...composeRoutes(lifecycle),
      ...instanceRoutes(lifecycle),
      ...imageRoutes(lifecycle),
      ...volumeRoutes(lifecycle),
      ...networkRoutes(lifecycle),
    };
    for (const [name, route] of Object.entries(ROUTES) as [RouteName, Route][]) {
      const handler = handlers[name];
      if (handler) this.#serve(route, handler);
    }
    this.#app.setNotFoundHandler((request, reply) => {
      const error = new BulkheadError('not_found', `the API has no ${request.method} ${request.url.split('?')[0]}`);
      return reply.status(404).send(error.toBody());
    });
    this.#app.setErrorHandler((error, _request, reply) => {
      const { status, body } = failureOf(error, report);
      return reply.status(status).send(body);
    });
    this.#upgrades = new Upgrades(lifecycle, report);
    this.#app.server.on('upgrade', (request, socket, head) => this.#upgrades.serve(request, socket, head));
  }

  async listen(path: string): Promise<void> {
    await this.#app.listen({ path });
  }

  async close(): Promise<void> {
    this.#upgrades.close();
    await this.#app.close();
  }

  #parsers(): void {
    const app = this.#app;
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, text, done) => {
      if (text === '') return done(null, undefined);
      try {
        done(null, parseBody(text as string));
      } catch (error) {
        done(error as BulkheadError);
      }
    });
    // Anything else is a stream for the handler, or nothing it looks at.
    app.addContentTypeParser('*', (_request, _payload, done) => done(null, undefined));
  }

  #serve(route: Route, handler: Handler): void {
    this.#app.route({
      method: route.method,
      url: route.path,
      handler: (request, reply) => this.#answer(route, handler, request, reply),
    });
  }

  async #answer(route: Route, handler: Handler, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    const gone = new AbortController();
    reply.raw.once('close', () => gone.abort());
    const body = route.body ? validate(route.body, request.body ?? {}) : undefined;
    const call = new Call({
      params: request.params as Record<string, string>,
      query: request.query as Record<string, string | string[]>,
      body,
      signal: gone.signal,
      raw: request.raw,
    });
    const answer = await this.#handled(route, handler, call, request);
    if (route.stream === 'ndjson') {
      reply.hijack();
      await this.#lines(reply.raw, answer as AsyncIterable<unknown[]>, route.upload ? request.raw : undefined);
      return reply;
    }
    if (route.stream === 'tar') {
      reply.hijack();
      await this.#tar(reply.raw, answer as Readable);
      return reply;
    }
    if (answer === undefined) return reply.status(204).send();
    return reply.status(route.status ?? 200).send(answer);
  }

  async #handled(route: Route, handler: Handler, call: Call, request: FastifyRequest): Promise<unknown> {
    try {
      return await handler(call);
    } catch (error) {
      // Who still sends does not listen: the connection would break before the reason is read.
      if (route.upload) await drained(request.raw);
      throw error;
    }
  }

  /** Headers go at once, so that a client knows it is heard; a failure afterwards is the last line. */
  async #lines(
    response: ServerResponse,
    batches: AsyncIterable<unknown[]>,
    upload: IncomingMessage | undefined,
  ): Promise<void> {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    response.flushHeaders();
    try {
      for await (const batch of batches) {
        if (response.destroyed) return;
        const text = batch.map((value) => `${JSON.stringify(value)}\n`).join('');
        if (text !== '' && !response.write(text))
          await Promise.race([once(response, 'drain'), once(response, 'close')]);
      }
    } catch (error) {
      if (upload) await drained(upload);
      if (!response.destroyed) response.write(`${JSON.stringify({ error: failureOf(error, this.#report).body })}\n`);
    }
    response.end();
  }

  async #tar(response: ServerResponse, tar: Readable): Promise<void> {
    response.writeHead(200, { 'content-type': 'application/x-tar' });
    try {
      await pipeline(tar, response);
    } catch (error) {
      // The head is out: a broken connection is the only way left to say that the archive is not whole.
      this.#report('archive', error);
      response.destroy();
    }
  }
}

async function drained(upload: IncomingMessage): Promise<void> {
  if (upload.readableEnded || upload.destroyed) return;
  upload.unpipe();
  upload.resume();
  await Promise.race([once(upload, 'end'), once(upload, 'close')]).catch(() => undefined);
}

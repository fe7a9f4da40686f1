/** The OpenAPI 3.1 document, built from the routes and schemas that the engine itself uses. */
import { ERRORS } from './errors.ts';
import { ROUTES, type Route } from './routes.ts';
import * as schemas from './schemas.ts';

const componentName = (schema: string): string => schema.replace(/Schema$/, '');
const reference = (schema: string) => ({ $ref: `#/components/schemas/${componentName(schema)}` });

function parameters(route: Route): unknown[] {
  const inPath = [...route.path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  const inQuery = Object.entries(route.query ?? {}).map(([name, description]) => ({
    name,
    in: 'query',
    required: false,
    ...(description ? { description } : {}),
    schema: description.startsWith('repeatable') ? { type: 'array', items: { type: 'string' } } : { type: 'string' },
    ...(description.startsWith('repeatable') ? { style: 'form', explode: true } : {}),
  }));
  return [...inPath, ...inQuery];
}

function success(route: Route): Record<string, unknown> {
  if (route.stream === 'upgrade') return { 101: { description: 'Frames of type u8, length u32 big-endian, payload.' } };
  if (route.stream === 'tar') {
    return {
      200: {
        description: 'A tar.',
        content: { 'application/x-tar': { schema: { type: 'string', format: 'binary' } } },
      },
    };
  }
  if (!route.answer) return { 200: { description: 'Done.' }, 204: { description: 'Done.' } };
  const schema = route.list ? { type: 'array', items: reference(route.answer) } : reference(route.answer);
  const type = route.stream === 'ndjson' ? 'application/x-ndjson' : 'application/json';
  const description = route.stream === 'ndjson' ? 'One JSON value a line.' : 'The answer.';
  return { [route.status ?? 200]: { description, content: { [type]: { schema } } } };
}

function requestBody(route: Route): Record<string, unknown> {
  if (route.body)
    return { requestBody: { required: true, content: { 'application/json': { schema: reference(route.body) } } } };
  if (!route.upload) return {};
  const schema = { type: 'string', format: 'binary' };
  return { requestBody: { required: true, content: { 'application/x-tar': { schema } } } };
}

export function openapi(version: string): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const [operationId, route] of Object.entries(ROUTES) as [string, Route][]) {
    const path = route.path.replace(/:(\w+)/g, '{$1}');
    paths[path] ??= {};
    paths[path][route.method.toLowerCase()] = {
      operationId,
      summary: route.summary,
      parameters: parameters(route),
      ...requestBody(route),
      responses: {
        ...success(route),
        default: { description: 'An error.', content: { 'application/json': { schema: reference('ErrorSchema') } } },
      },
    };
  }
  const components = Object.entries(schemas).map(([name, schema]) => [componentName(name), schema]);
  return {
    openapi: '3.1.0',
    info: {
      title: 'Bulkhead engine',
      version,
      description: `Error codes: ${Object.entries(ERRORS)
        .map(([code, { status, meaning }]) => `\`${code}\` (${status}): ${meaning}`)
        .join(' ')}`,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    paths,
    components: { schemas: Object.fromEntries(components) },
  };
}

/** Addresses that take Compose files; the files come with the request, the engine opens none. */
import {
  BulkheadError,
  type ComposeAnswer,
  type ComposeExplanation,
  type ComposeRequest,
  type Explanation,
} from '@bulkhead/contract';
import { documentYaml } from '../compose/document.ts';
import { instanceRequest } from '../compose/instance-request.ts';
import { type ComposeResult, resolveCompose } from '../compose/resolve.ts';
import { composeJsonSchema } from '../compose/schema.ts';
import { placeText } from '../compose/tree.ts';
import type { Lifecycle } from '../lifecycle/lifecycle.ts';
import type { Handlers } from './routes.ts';

function resolve(body: ComposeRequest): ComposeResult {
  return resolveCompose({ ...body, files: new Map(Object.entries(body.files)) });
}

export function composeRoutes(lifecycle: Lifecycle): Handlers {
  return {
    composeSchema: () => composeJsonSchema(),
    resolveCompose: (call): ComposeAnswer => {
      const result = resolve(call.body as ComposeRequest);
      if (result.kind === 'needs') return result;
      const { kind, app, document, warnings } = result;
      return { kind, app, document, warnings, yaml: documentYaml(document) };
    },
    explainCompose: async (call): Promise<ComposeExplanation> => {
      const result = resolve(call.body as ComposeRequest);
      if (result.kind === 'needs') return result;
      const services = await Promise.all(
        result.app.services.map(async (service) => ({
          service: service.name,
          at: placeText(service.source),
          explanation: await explained(lifecycle, instanceRequest(result.app, service), placeText(service.source)),
        })),
      );
      return { kind: 'explained', services, warnings: result.warnings };
    },
  };
}

/** A service that no policy is asked about, because it cannot be meant, is refused beside the others. */
async function explained(
  lifecycle: Lifecycle,
  request: ReturnType<typeof instanceRequest>,
  at: string,
): Promise<Explanation> {
  try {
    const found = await lifecycle.creator.explain(request);
    return found.refusal ? { ...found, refusal: { at, ...found.refusal } } : found;
  } catch (error) {
    if (!(error instanceof BulkheadError)) throw error;
    return { subject: request.image, facts: {}, rules: [], refusal: { ...error.toBody(), at } };
  }
}

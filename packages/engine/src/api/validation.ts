/** Request bodies against the contract's schemas; compiled on first use. */
import { BulkheadError } from '@bulkhead/contract';
import * as schemas from '@bulkhead/contract/schemas';
import type { TSchema } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';

const compiled = new Map<string, Validator>();

/** Throws `invalid_request` that names the place and what is wrong there. */
export function validate(schemaName: string, body: unknown): unknown {
  let validator = compiled.get(schemaName);
  if (!validator) {
    validator = Compile((schemas as unknown as Record<string, TSchema>)[schemaName]!);
    compiled.set(schemaName, validator);
  }
  if (validator.Check(body)) return body;
  const errors = validator.Errors(body);
  const first = errors.find((error) => error.keyword === 'additionalProperties') ?? errors[0];
  const place = first?.instancePath ? first.instancePath.slice(1).replaceAll('/', '.') : 'the body';
  const unknown = first?.keyword === 'additionalProperties' ? `: ${first.params.additionalProperties.join(', ')}` : '';
  const code = first?.instancePath === '/isolation' ? 'invalid_level' : 'invalid_request';
  throw new BulkheadError(code, `${place}: ${first?.message ?? 'does not fit the schema'}${unknown}`);
}

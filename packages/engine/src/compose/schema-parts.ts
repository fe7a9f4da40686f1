/** Building blocks of the Compose schema: shapes that many keys share, and marks for keys that are refused or have no effect here. */
import Type, { type TProperties, type TSchema } from 'typebox';

/** JSON Schema keywords of our own; editors ignore them, `check.ts` reads them. */
export interface Marked {
  /** Why the key is refused, and what to do instead. */
  'x-refused'?: string;
  /** Why the key has no effect here; it is accepted with a warning. */
  'x-no-effect'?: string;
}

/** Words after a colon may be numbers or booleans to YAML: Compose takes them as text. */
export const Text = Type.Union([Type.String(), Type.Number(), Type.Boolean()]);
export const NumberLike = Type.Union([Type.Number(), Type.String()]);
export const Flag = Type.Union([Type.Boolean(), Type.String()]);
const Null = Type.Null();
export const Texts = Type.Array(Text);
export const TextOrTexts = Type.Union([Text, Texts]);
/** `NAME: value`, or a list of `NAME=value`. */
export const Pairs = Type.Union([Type.Record(Type.String(), Type.Union([Text, Null])), Texts]);
export const Command = Type.Union([Text, Texts, Null]);
export const Duration: TSchema = Type.Unsafe({ ...Text, description: 'Like 500ms, 30s or 1m30s.' });
export const Size: TSchema = Type.Unsafe({ ...NumberLike, description: 'Like 64m or 1.5g.' });

/** A mapping with these keys, `x-…`, and no others. Every key may be null, which is as if it were absent. */
export function shape(properties: Record<string, TSchema>, required: string[] = []): TSchema {
  const nullable = Object.fromEntries(
    Object.entries(properties).map(([key, schema]) => [key, Type.Optional(orNull(schema))]),
  ) as TProperties;
  const object = Type.Object(nullable, { additionalProperties: false });
  return Type.Unsafe({ ...object, patternProperties: { '^x-': {} }, ...(required.length > 0 ? { required } : {}) });
}

export function named(value: TSchema): TSchema {
  return Type.Unsafe({
    type: 'object',
    patternProperties: { '^x-': {}, '^[a-zA-Z0-9._-]+$': Type.Union([value, Null]) },
    additionalProperties: false,
    'x-names': true,
  });
}

export function words(...values: string[]): TSchema {
  return Type.Enum(values);
}

/** Unconditionally wrong for an editor, refused with these words by the engine. */
export function refused(reason: string): TSchema {
  return Type.Unsafe({ not: {}, description: `Not supported: ${reason}`, 'x-refused': reason });
}

export function noEffect(schema: TSchema, reason: string): TSchema {
  return Type.Unsafe({ ...schema, description: `No effect here: ${reason}`, 'x-no-effect': reason });
}

/** Marks stand at the outside, where a key is looked up. */
function orNull(schema: TSchema): TSchema {
  const { 'x-refused': refusal, 'x-no-effect': reason } = schema as Marked;
  if (refusal !== undefined) return schema;
  const union = Type.Union([schema, Null]);
  return reason === undefined ? union : Type.Unsafe({ ...union, 'x-no-effect': reason });
}

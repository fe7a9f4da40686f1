/** Writes docs/compose.schema.json, which editors check Compose files by, from the schema the engine checks by; `--check` only tells whether the file is current. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { composeJsonSchema } from '@bulkhead/engine/compose/schema';

const words = process.argv.slice(2);
const check = words.includes('--check');
const [file = path.resolve(import.meta.dirname, '../docs/compose.schema.json')] = words.filter(
  (word) => word !== '--check',
);
const text = `${JSON.stringify(composeJsonSchema(), null, 1)}\n`;

function current(): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

if (!check) writeFileSync(file, text);
else if (current() !== text) {
  console.error(`${file} is stale; run: node scripts/compose-schema.ts`);
  process.exitCode = 1;
}

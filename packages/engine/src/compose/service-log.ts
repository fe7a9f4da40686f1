/** `logging` of a service; other drivers and options are refused. */
import type { ServiceTask } from '../domain/app.ts';
import { bytesOf, numberOf } from './quantities.ts';
import { entriesOf, get, refuse, type Tree, textOf } from './tree.ts';

function atLeast(tree: Tree, leastBytes: number): number {
  const bytes = bytesOf(tree, 'max-size');
  if (bytes < leastBytes) refuse(tree.at, `max-size ${textOf(tree)} is below ${leastBytes}`, 'Write it like 16m.');
  return bytes;
}

export function log(tree: Tree): ServiceTask['log'] {
  const driver = get(tree, 'driver');
  if (driver && !['json-file', 'local'].includes(textOf(driver) ?? '')) {
    refuse(
      driver.at,
      `the log driver ${JSON.stringify(textOf(driver))} is not supported`,
      'Use json-file or local, and read the log with `bulkhead logs`.',
      'compose_unsupported',
    );
  }
  const found: Partial<NonNullable<ServiceTask['log']>> = {};
  for (const [key, { keyAt, value }] of entriesOf(get(tree, 'options'))) {
    if (key === 'max-size') found.maxSizeBytes = atLeast(value, 4096);
    else if (key === 'max-file') found.maxFiles = numberOf(value, 'max-file', { min: 1, max: 100, whole: true });
    else if (key !== 'compress' && key !== 'mode')
      refuse(
        keyAt,
        `the log option ${JSON.stringify(key)} is not supported`,
        'There are max-size and max-file.',
        'compose_unsupported',
      );
  }
  return found;
}

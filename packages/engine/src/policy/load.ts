/** Finds and reads the policy: the shipped rules, and the operator's file beside them. */
import { readFileSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { BulkheadError } from '@bulkhead/contract';
import { CelPolicy } from './cel-policy.ts';
import { type PolicyDocument, parsePolicy } from './document.ts';
import { factEnvironment } from './facts.ts';

export const POLICY_FILE = '/etc/bulkhead/policy.yaml';
/** No file can take this rule away: it is what the word `untrusted` means. */
const FLOOR = 'untrusted-never-shares-the-kernel';
const SHIPPED_FILE = path.resolve(import.meta.dirname, '../../../../policy/default.yaml');

/** `file` must exist where it is given; without it {@link POLICY_FILE} is used if there is one. Throws `invalid_policy`. */
export function loadPolicy(file: string | undefined): CelPolicy {
  const environment = factEnvironment();
  const shipped = parsePolicy('policy/default.yaml', readFileSync(SHIPPED_FILE, 'utf8'), environment);
  const text = file === undefined ? readIfThere(POLICY_FILE) : readGiven(file);
  if (text === undefined) return new CelPolicy(shipped.rules, shipped.grants);
  const own = parsePolicy(file ?? POLICY_FILE, text, environment);
  const kept = shipped.rules.filter((rule) => own.defaultRules || rule.name === FLOOR);
  for (const rule of own.rules) {
    const first = kept.find((shippedRule) => shippedRule.name === rule.name);
    if (!first) continue;
    const message = `${rule.source}: the rule name ${rule.name} is taken by ${first.source}`;
    throw new BulkheadError('invalid_policy', message, { at: rule.source });
  }
  return new CelPolicy([...kept, ...own.rules], own.grants.map(withRealPaths));
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    // Only "there is none" means the defaults: a file that cannot be read may be the one that forbids.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw unreadable(file, error);
  }
}

function readGiven(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw unreadable(file, error);
  }
}

function unreadable(file: string, error: unknown): BulkheadError {
  const { code } = error as NodeJS.ErrnoException;
  const why = code === 'ENOENT' ? 'it does not exist' : code === 'EISDIR' ? 'it is a directory' : String(code ?? error);
  return new BulkheadError('invalid_policy', `the policy file ${file} cannot be read: ${why}`, {
    at: file,
    cause: error,
  });
}

/** Binds are compared after their links are resolved: so are the paths that are granted. */
function withRealPaths(grant: PolicyDocument['grants'][number]): PolicyDocument['grants'][number] {
  return { ...grant, bindPaths: grant.bindPaths.map(realPath) };
}

function realPath(granted: string): string {
  try {
    return realpathSync(granted);
  } catch {
    return path.normalize(granted);
  }
}

/** What a release needs to know of a service: its change configuration, ingress, hooks, job, and health probe. */
import type {
  Canary,
  ChangeConfiguration,
  HealthProbe,
  Hook,
  IngressRoute,
  PreStartHook,
  ReleaseConfiguration,
  Strategy,
} from '../domain/app.ts';
import { durationMsOf, flagOf, numberOf, shareOf } from './quantities.ts';
import { entriesOf, get, itemsOf, refuse, type Tree, textOf } from './tree.ts';

const texts = (tree: Tree | undefined): string[] => itemsOf(tree).map((item) => textOf(item) ?? '');
const port = (tree: Tree | undefined, what: string): number =>
  numberOf(tree!, what, { min: 1, max: 65535, whole: true });

/** Compose's defaults. */
export function changeConfiguration(tree: Tree | undefined, failureAction: 'rollback' | 'pause'): ChangeConfiguration {
  const timed = (key: string, otherwise: number): number =>
    get(tree, key) ? durationMsOf(get(tree, key)!, key) : otherwise;
  const parallelism = get(tree, 'parallelism');
  const ratio = get(tree, 'max_failure_ratio');
  return {
    parallelism: parallelism ? numberOf(parallelism, 'parallelism', { whole: true }) : 1,
    delayMs: timed('delay', 0),
    monitorMs: timed('monitor', 0),
    maxFailureRatio: ratio ? shareOf(ratio, 'max_failure_ratio') : 0,
    failureAction:
      (textOf(get(tree, 'failure_action')) as ChangeConfiguration['failureAction'] | undefined) ?? failureAction,
    order: (textOf(get(tree, 'order')) as ChangeConfiguration['order'] | undefined) ?? 'start-first',
  };
}

/** `fallback` is the app's own configuration, which a service's overrides key by key. */
export function releaseConfiguration(tree: Tree | undefined, fallback: Tree | undefined): ReleaseConfiguration {
  const pick = (key: string): Tree | undefined => get(tree, key) ?? get(fallback, key);
  const found: ReleaseConfiguration = {};
  const strategy = textOf(pick('strategy')) as Strategy | undefined;
  if (strategy) found.strategy = strategy;
  const batch = pick('batch');
  if (batch) {
    const share = (textOf(batch) ?? '').endsWith('%');
    found.batch = share
      ? { share: shareOf(batch, 'release.batch') }
      : { count: numberOf(batch, 'release.batch', { min: 1, whole: true }) };
  }
  // Another strategy of the service's own takes the app's canary with it.
  const canary =
    get(tree, 'canary') ?? (strategy === 'canary' || !get(tree, 'strategy') ? get(fallback, 'canary') : undefined);
  if (canary) {
    if (strategy !== undefined && strategy !== 'canary')
      refuse(
        canary.at,
        `release.canary is given, but the strategy is ${strategy}`,
        'Write `strategy: canary`, or take canary out.',
      );
    found.canary = canaryOf(canary);
  }
  const watch = pick('watch');
  if (watch) found.watchMs = durationMsOf(watch, 'release.watch');
  return found;
}

function canaryOf(tree: Tree): Canary {
  const single = get(tree, 'share');
  const list = itemsOf(get(tree, 'steps'));
  const steps = (list.length > 0 ? list : single ? [single] : []).map((item) => {
    const shareTree = item.kind === 'map' ? get(item, 'share')! : item;
    const time = get(item, 'for');
    const text = textOf(shareTree) ?? '';
    const percent: Tree =
      text.endsWith('%') || Number(text) <= 1 || !Number.isFinite(Number(text))
        ? shareTree
        : { kind: 'scalar', at: shareTree.at, value: `${text}%` };
    return {
      at: shareTree.at,
      share: shareOf(percent, 'a canary step'),
      ...(time ? { durationMs: durationMsOf(time, 'for') } : {}),
    };
  });
  for (const [index, step] of steps.entries()) {
    const before = steps[index - 1];
    if (before && step.share <= before.share)
      refuse(
        step.at,
        `canary steps must rise, but ${step.share} follows ${before.share}`,
        'Order them, e.g. [5%, 25%, 100%].',
      );
  }
  if (steps.length === 0) refuse(tree.at, 'the canary has no steps', 'Add `steps: [5%, 25%, 100%]`.');
  const interval = get(tree, 'interval');
  const rate = get(tree, 'max_error_rate');
  const p95 = get(tree, 'max_p95');
  return {
    steps: steps.map(({ at: _at, ...step }) => step),
    ...(interval ? { intervalMs: durationMsOf(interval, 'canary.interval') } : {}),
    ...(rate ? { maxErrorRate: shareOf(rate, 'canary.max_error_rate') } : {}),
    ...(p95 ? { maxP95Ms: durationMsOf(p95, 'canary.max_p95') } : {}),
  };
}

export function ingressRoutes(tree: Tree | undefined): IngressRoute[] {
  return itemsOf(tree).map((item) => {
    const path = get(item, 'path');
    const host = get(item, 'host');
    if (path && !(textOf(path) ?? '').startsWith('/'))
      refuse(path.at, `the ingress path ${JSON.stringify(textOf(path))} does not begin with /`, 'Write it like /api.');
    if (host && !/^(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/i.test(textOf(host) ?? '')) {
      refuse(
        host.at,
        `the ingress host ${JSON.stringify(textOf(host))} is not a host name`,
        'Write it like shop.example.com or *.example.com, without scheme or port.',
      );
    }
    const tlsText = textOf(get(item, 'tls'));
    const tls =
      tlsText === undefined || tlsText === 'false' || tlsText === 'off'
        ? 'off'
        : tlsText === 'given'
          ? 'given'
          : tlsText === 'auto' || tlsText === 'true'
            ? 'auto'
            : undefined;
    if (!tls)
      refuse(
        get(item, 'tls')!.at,
        `tls cannot be ${JSON.stringify(tlsText)}`,
        'It is one of off, auto, given, true, false.',
      );
    if (tls === 'auto' && !host)
      refuse(item.at, 'ingress with tls lacks a host', 'A certificate is for a name: add `host:`.');
    return {
      ...(host ? { host: (textOf(host) ?? '').toLowerCase() } : {}),
      path: textOf(path) ?? '/',
      port: port(get(item, 'port'), 'the ingress port'),
      tls,
      source: item.at,
    };
  });
}

export function hooks(tree: Tree | undefined): Hook[] {
  return itemsOf(tree).map((item) => {
    const command = texts(get(item, 'command'));
    if (command.length === 0) refuse(item.at, 'the hook has no command', 'Add `command:`.');
    const user = textOf(get(item, 'user'));
    const workdir = textOf(get(item, 'working_dir'));
    return {
      command,
      ...(user === undefined ? {} : { user }),
      ...(workdir === undefined ? {} : { workdir }),
      env: entriesOf(get(item, 'environment')).map(([name, { value }]) =>
        textOf(value) === undefined ? name : `${name}=${textOf(value)}`,
      ),
      source: item.at,
    };
  });
}

export function preStartHooks(tree: Tree | undefined): PreStartHook[] {
  const items = itemsOf(tree);
  return hooks(tree).map((hook, index) => {
    const image = textOf(get(items[index], 'image'));
    return {
      ...hook,
      ...(image === undefined ? {} : { image }),
      perReplica: flagOf(get(items[index], 'per_replica')) ?? false,
    };
  });
}

export function healthProbe(tree: Tree | undefined): HealthProbe | undefined {
  const given = entriesOf(tree).filter(
    ([key, { value }]) => !key.startsWith('x-') && textOf(value) !== '' && get(tree, key),
  );
  if (given.length === 0) return undefined;
  if (given.length > 1)
    refuse(given[1]![1].keyAt, `health has both ${given[0]![0]} and ${given[1]![0]}`, 'Keep one of them.');
  const [key, { value }] = given[0]!;
  if (key === 'runs_for') return { kind: 'runs-for', durationMs: durationMsOf(value, 'health.runs_for') };
  const number = port(get(value, 'port'), 'the health port');
  if (key === 'tcp') return { kind: 'tcp', port: number };
  if (key === 'grpc') return { kind: 'grpc', port: number, service: textOf(get(value, 'service')) ?? '' };
  const host = textOf(get(value, 'host'));
  const path = get(value, 'path');
  if (path && !(textOf(path) ?? '').startsWith('/'))
    refuse(path.at, `the health path ${JSON.stringify(textOf(path))} does not begin with /`, 'Write it like /healthz.');
  const status = get(value, 'status');
  if (status && !/^[1-5]\d\d(-[1-5]\d\d)?(,[1-5]\d\d(-[1-5]\d\d)?)*$/.test(textOf(status) ?? ''))
    refuse(
      status.at,
      `the health status ${JSON.stringify(textOf(status))} is not one`,
      'Write it like 200 or 200-399.',
    );
  return {
    kind: 'http',
    port: number,
    path: textOf(path) ?? '/',
    ...(host === undefined ? {} : { host }),
    status: textOf(status) ?? '200-399',
  };
}

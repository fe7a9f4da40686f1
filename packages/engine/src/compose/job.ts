/** `x-bulkhead.job`: when a job runs; a schedule that never could is refused. */
import type { Job } from '../domain/app.ts';
import { durationMsOf } from './quantities.ts';
import { get, refuse, type Tree, textOf } from './tree.ts';

const MONTHS = 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ');
const WEEKDAYS = 'sun mon tue wed thu fri sat'.split(' ');
/** Sunday is 0 and 7. */
const FIELDS: { name: string; from: number; to: number; names: string[] }[] = [
  { name: 'minute', from: 0, to: 59, names: [] },
  { name: 'hour', from: 0, to: 23, names: [] },
  { name: 'day', from: 1, to: 31, names: [] },
  { name: 'month', from: 1, to: 12, names: MONTHS },
  { name: 'weekday', from: 0, to: 7, names: WEEKDAYS },
];
const SHORTHAND = /^@(hourly|daily|weekly|monthly|yearly|annually|midnight)$/;

export function jobOf(tree: Tree | undefined): Job | undefined {
  if (!tree) return undefined;
  const schedule = get(tree, 'schedule');
  const limit = get(tree, 'timeout');
  const timeout = limit ? { timeoutMs: durationMsOf(limit, 'job.timeout') } : {};
  // `job: pre-release` is the short form of `job: {when: pre-release}`.
  const when = textOf(tree) ?? textOf(get(tree, 'when')) ?? (schedule ? 'cron' : undefined);
  if (when === undefined)
    refuse(
      tree.at,
      'the job does not say when it runs',
      'Write `job: pre-release`, `job: post-release` or `job: {schedule: "0 3 * * *"}`.',
    );
  const overlap = get(tree, 'overlap');
  if (when !== 'cron') {
    if (schedule) refuse(schedule.at, `a ${when} job has no schedule`, 'Take the schedule or `when` out.');
    if (overlap) refuse(overlap.at, `a ${when} job has no overlap`, 'Take overlap out: it runs once a release.');
    return { when: when as 'pre-release' | 'post-release', ...timeout };
  }
  if (!schedule) refuse(tree.at, 'the cron job has no schedule', 'Add `schedule: "0 3 * * *"`.');
  return {
    when: 'cron',
    schedule: checked(schedule),
    overlap: (textOf(overlap) as 'forbid' | 'allow' | 'replace' | undefined) ?? 'forbid',
    ...timeout,
  };
}

function checked(tree: Tree): string {
  const text = (textOf(tree) ?? '').trim();
  if (SHORTHAND.test(text)) return text;
  const fields = text.split(/\s+/);
  const wrong = FIELDS.findIndex((field, index) => !holds(fields[index] ?? '', field));
  if (fields.length === 5 && wrong < 0) return text;
  const why = fields.length === 5 ? `: the ${FIELDS[wrong]!.name} cannot be ${JSON.stringify(fields[wrong])}` : '';
  return refuse(
    tree.at,
    `the schedule ${JSON.stringify(text)} is not a cron schedule${why}`,
    'It has five fields: minute hour day month weekday, like "0 3 * * *", or is @daily.',
  );
}

/** `*`, `5`, `1-5`, `mon-fri`, each with `/STEP`, and lists of them. */
function holds(text: string, { from, to, names }: (typeof FIELDS)[number]): boolean {
  const number = (word: string): number => {
    const index = names.indexOf(word.toLowerCase());
    return index >= 0 ? index + from : /^\d{1,2}$/.test(word) ? Number(word) : Number.NaN;
  };
  return text.split(',').every((item) => {
    const [, range = '', step] = /^([^/]+)(?:\/(\d{1,2}))?$/.exec(item) ?? [];
    if (step !== undefined && Number(step) < 1) return false;
    if (range === '*') return true;
    const [first = '', last = first, ...more] = range.split('-');
    return more.length === 0 && number(first) >= from && number(last) <= to && number(first) <= number(last);
  });
}

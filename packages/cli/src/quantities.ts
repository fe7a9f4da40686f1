/** Sizes, durations and times as people write and read them, by Docker's conventions. */
import { BulkheadError } from '@bulkhead/contract/errors';

const UNITS: Record<string, number> = { '': 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** `64m`, `1.5g`, `1024`, `64MiB` to bytes. */
export function parseSize(text: string, flag: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([kmgt])(?:i?b)?|b)?$/i.exec(text.trim());
  const bytes = match ? Math.floor(Number(match[1]) * UNITS[(match[2] ?? '').toLowerCase()]!) : Number.NaN;
  if (!Number.isSafeInteger(bytes)) throw new BulkheadError('invalid_limit', `invalid size "${text}" for ${flag}`);
  return bytes;
}

export function parseNumber(text: string, flag: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0)
    throw new BulkheadError('invalid_limit', `invalid number "${text}" for ${flag}`);
  return value;
}

export function parseInteger(text: string, flag: string, least = 0): number {
  const value = Number(text);
  if (!/^[+-]?\d+$/.test(text.trim()) || !Number.isSafeInteger(value) || value < least)
    throw new BulkheadError('invalid_limit', `invalid whole number "${text}" for ${flag}`);
  return value;
}

const DURATION_MS: Record<string, number> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5 };

/** `1h30m`, `500ms`, `1.5s` to milliseconds; undefined where it is no duration. */
export function durationMs(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d))+$/.test(text)) return text === '0' ? 0 : undefined;
  let total = 0;
  for (const [, value, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)/g))
    total += Number(value) * DURATION_MS[unit!]!;
  return total;
}

export function parseDuration(text: string, flag: string): number {
  const value = durationMs(text);
  if (value === undefined)
    throw new BulkheadError('usage', `invalid duration "${text}" for ${flag}`, {
      hint: 'Write it like 500ms or 1m30s.',
    });
  return Math.round(value);
}

/** A time for --since and --until: RFC 3339, Unix seconds, or a duration before `nowMs`. To Unix milliseconds. */
export function parseTime(text: string, flag: string, nowMs: number): number {
  const ago = text === '0' ? undefined : durationMs(text);
  if (ago !== undefined) return Math.round(nowMs - ago);
  if (/^\d+(\.\d+)?$/.test(text)) return Math.round(Number(text) * 1000);
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time))
    throw new BulkheadError('usage', `invalid time "${text}" for ${flag}`, {
      hint: 'Write 10m, 2024-05-01T10:00:00Z or Unix seconds.',
    });
  return time;
}

/** `About a minute`, `3 seconds`, `2 weeks`: go-units' HumanDuration. */
export function humanDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 1) return 'Less than a second';
  if (seconds === 1) return '1 second';
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return 'About a minute';
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.floor(seconds / 3600 + 0.5);
  if (hours === 1) return 'About an hour';
  if (hours < 48) return `${hours} hours`;
  const days = Math.floor(hours / 24);
  if (hours < 24 * 7 * 2) return `${days} days`;
  if (hours < 24 * 30 * 2) return `${Math.floor(days / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.floor(days / 30)} months`;
  return `${Math.floor(days / 365)} years`;
}

export function ago(atMs: number | undefined, nowMs: number): string {
  return atMs === undefined || atMs <= 0 ? 'N/A' : `${humanDuration(Math.max(0, nowMs - atMs))} ago`;
}

function scaled(value: number, base: number, units: string[], digits: number): string {
  let at = 0;
  let rest = value;
  while (rest >= base && at < units.length - 1) {
    rest /= base;
    at++;
  }
  return `${Number(rest.toPrecision(digits))}${units[at]}`;
}

/** Decimal: `7.05MB`. */
export function humanSize(bytes: number, digits = 3): string {
  return scaled(bytes, 1000, ['B', 'kB', 'MB', 'GB', 'TB', 'PB'], digits);
}

/** Binary: `6.723MiB`. */
export function humanBytes(bytes: number): string {
  return scaled(bytes, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'], 4);
}

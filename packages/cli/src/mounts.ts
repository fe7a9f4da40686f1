/** `-v`, `--mount`, `--tmpfs` and `-p` to what the API takes. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { BulkheadError } from '@bulkhead/contract/errors';
import type { Mount, Port } from '@bulkhead/contract/types';
import { parseInteger, parseSize } from './quantities.ts';

/** `SOURCE:/TARGET[:ro]`, `NAME:/TARGET`, `/TARGET` (an anonymous volume). */
export function parseVolume(text: string, cwd: string): Mount {
  const parts = text.split(':');
  const bad = (why: string) => new BulkheadError('invalid_mount', `invalid volume "${text}": ${why}`);
  if (parts.length > 3 || parts.some((part) => part === '')) throw bad('expected SOURCE:/TARGET[:ro]');
  if (parts.length === 1) return { type: 'volume', target: absolute(parts[0]!, bad) };
  const [source, target, mode = ''] = parts as [string, string, string?];
  let readOnly = false;
  for (const option of mode === '' ? [] : mode.split(',')) {
    if (option === 'ro') readOnly = true;
    // SELinux relabelling and propagation have no meaning here; Docker's own files carry them.
    else if (!['rw', 'z', 'Z', 'rprivate', 'private', 'cached', 'delegated', 'consistent', 'nocopy'].includes(option))
      throw bad(`unknown option "${option}"`);
  }
  const bind = source.startsWith('/') || source.startsWith('.') || source.startsWith('~');
  return {
    type: bind ? 'bind' : 'volume',
    source: bind ? resolve(cwd, source) : source,
    target: absolute(target, bad),
    ...(readOnly ? { readOnly } : {}),
  };
}

/** `type=bind,source=/a,target=/b,readonly`; type defaults to `volume`. */
export function parseMount(text: string, cwd: string): Mount {
  const bad = (why: string) => new BulkheadError('invalid_mount', `invalid mount "${text}": ${why}`);
  const fields = new Map<string, string>();
  for (const part of text.split(',')) {
    const at = part.indexOf('=');
    fields.set((at < 0 ? part : part.slice(0, at)).trim().toLowerCase(), at < 0 ? 'true' : part.slice(at + 1));
  }
  const take = (...names: string[]): string | undefined => {
    let found: string | undefined;
    for (const name of names) {
      found ??= fields.get(name);
      fields.delete(name);
    }
    return found;
  };
  const type = take('type') ?? 'volume';
  if (type !== 'bind' && type !== 'volume' && type !== 'tmpfs') throw bad(`unknown type "${type}"`);
  const source = take('source', 'src');
  const target = take('target', 'destination', 'dst');
  const readOnly = ['true', '1'].includes(take('readonly', 'ro') ?? '');
  const size = take('tmpfs-size');
  const mode = take('tmpfs-mode');
  take('bind-propagation', 'consistency', 'volume-nocopy');
  if (fields.size > 0) throw bad(`unknown field "${[...fields.keys()][0]}"`);
  if (target === undefined) throw bad('target is missing');
  if (type === 'bind') {
    if (source === undefined) throw bad('source is missing');
    if (!existsSync(resolve(cwd, source))) throw bad(`${resolve(cwd, source)} does not exist`);
  }
  return {
    type,
    ...(source === undefined || type === 'tmpfs' ? {} : { source: type === 'bind' ? resolve(cwd, source) : source }),
    target: absolute(target, bad),
    ...(readOnly ? { readOnly } : {}),
    ...(size === undefined ? {} : { sizeBytes: parseSize(size, 'tmpfs-size') }),
    ...(mode === undefined ? {} : { mode: parseMode(mode, bad) }),
  };
}

/** `/TARGET[:size=64m,mode=1777,ro]`. */
export function parseTmpfs(text: string): Mount {
  const bad = (why: string) => new BulkheadError('invalid_mount', `invalid tmpfs "${text}": ${why}`);
  const at = text.indexOf(':');
  const mount: Mount = { type: 'tmpfs', target: absolute(at < 0 ? text : text.slice(0, at), bad) };
  for (const option of at < 0 ? [] : text.slice(at + 1).split(',')) {
    const [key, value] = option.split('=', 2) as [string, string?];
    if (key === 'size' && value !== undefined) mount.sizeBytes = parseSize(value, 'size');
    else if (key === 'mode' && value !== undefined) mount.mode = parseMode(value, bad);
    else if (key === 'ro') mount.readOnly = true;
    else if (!['rw', 'noexec', 'exec', 'nosuid', 'nodev'].includes(key)) throw bad(`unknown option "${option}"`);
  }
  return mount;
}

function parseMode(text: string, bad: (why: string) => BulkheadError): number {
  if (!/^[0-7]{1,4}$/.test(text)) throw bad(`"${text}" is no octal mode`);
  return Number.parseInt(text, 8);
}

function absolute(target: string, bad: (why: string) => BulkheadError): string {
  if (!target.startsWith('/')) throw bad(`the target "${target}" is not absolute`);
  return target;
}

/** `[IP:][HOST:]PORT[/tcp|udp]`, with ranges of equal length on both sides. */
export function parsePublish(text: string): Port[] {
  const bad = (why: string) => new BulkheadError('invalid_port', `invalid port mapping "${text}": ${why}`);
  const match = /^(?:(?:(\[[0-9a-fA-F:]+\]|[0-9.]+):)?([0-9-]*):)?([0-9-]+)(?:\/([a-z]+))?$/.exec(text);
  if (!match) throw bad('expected [IP:][HOST:]PORT[/tcp|udp]');
  const [, ip, host = '', port = '', protocol = 'tcp'] = match;
  if (protocol !== 'tcp' && protocol !== 'udp') throw bad(`unknown protocol "${protocol}"`);
  const inside = range(port, bad);
  const outside = host === '' ? undefined : range(host, bad);
  if (outside && outside.length !== inside.length) throw bad('the ranges differ in length');
  return inside.map((one, index) => ({
    ...(ip ? { hostIp: ip.replace(/[[\]]/g, '') } : {}),
    hostPort: outside?.[index] ?? 0,
    port: one,
    protocol,
  }));
}

function range(text: string, bad: (why: string) => BulkheadError): number[] {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (!match) throw bad(`"${text}" is no port`);
  const first = parseInteger(match[1]!, 'port');
  const last = match[2] === undefined ? first : parseInteger(match[2], 'port');
  if (last < first || last > 65535) throw bad(`"${text}" is out of range`);
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

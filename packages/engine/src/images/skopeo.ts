/** Runs skopeo, which moves images between registries, archives and the store. Its errors become codes and few words here. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { BulkheadError, type ErrorCode } from '@bulkhead/contract';

export interface SkopeoRun {
  /** What the user asked for; named in errors. */
  subject: string;
  /** Whether the other end is a registry: then an unknown failure is its fault, else the archive's. */
  registry: boolean;
  signal?: AbortSignal;
  /** Ends it when this long without a sign of progress. */
  stallMs: number;
  /** Any number that changes while there is progress of the process `pid`; undefined: output only. */
  progress?: (pid: number) => number;
  /** Output larger than this ends it. */
  maxOutputBytes?: number;
}

const POLL_MS = 25;
const WORDS_MAX = 300;

/** First match wins. */
const KINDS: [RegExp, ErrorCode][] = [
  [/no space left on device|disk quota exceeded/i, 'disk_full'],
  [/read-only file system/i, 'read_only'],
  [
    /unauthorized|authentication required|access to the resource is denied|\bdenied\b|forbidden|status: 40[13]/i,
    'registry_denied',
  ],
  [
    /manifest unknown|name unknown|repository name not known|not found|status: 404|no such image|reference does not exist/i,
    'no_such_image',
  ],
  [/no image found in (manifest list|image index) for architecture/i, 'platform_missing'],
  [
    /digest (did not match|mismatch|does not match)|does not match (expected|desired) digest|size mismatch/i,
    'digest_mismatch',
  ],
  [
    /cannot connect to the docker daemon|closed pipe|connection refused|no such host|timeout|connection reset|EOF|HTTP response|x509|tls:|unreachable|invalid character/i,
    'registry_unreachable',
  ],
  [
    /exceeded maximum allowed size|unsupported schema|unrecognized manifest|invalid manifest|manifest.*(malformed|too large|mixed|conflict)/i,
    'invalid_manifest',
  ],
];

/** Runs `skopeo ARGS`; returns its standard output. */
export async function skopeo(args: string[], run: SkopeoRun): Promise<Buffer> {
  const policy = existsSync('/etc/containers/policy.json') ? [] : ['--insecure-policy'];
  run.signal?.throwIfAborted();
  const child = spawn('skopeo', [...policy, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const output: Buffer[] = [];
  let outputBytes = 0;
  let words = '';
  let ended: BulkheadError | undefined;
  let lastSign = performance.now();
  let lastProgress = -1;
  const stop = (error: BulkheadError): void => {
    ended ??= error;
    child.kill('SIGKILL');
  };
  child.stdout.on('data', (chunk: Buffer) => {
    lastSign = performance.now();
    outputBytes += chunk.length;
    if (outputBytes > (run.maxOutputBytes ?? Number.POSITIVE_INFINITY)) {
      stop(
        new BulkheadError(
          'invalid_manifest',
          `the manifest of ${run.subject} is larger than ${run.maxOutputBytes} bytes`,
        ),
      );
    } else output.push(chunk);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(-16_384);
  });
  const watch = setInterval(() => {
    try {
      const progress = run.progress?.(child.pid ?? 0) ?? -1;
      if (progress !== lastProgress) lastSign = performance.now();
      lastProgress = progress;
    } catch (error) {
      stop(error instanceof BulkheadError ? error : new BulkheadError('internal', String(error), { cause: error }));
    }
    if (performance.now() - lastSign > run.stallMs) {
      stop(new BulkheadError('registry_unreachable', `${run.subject}: nothing moved for ${run.stallMs / 1000} s`));
    }
  }, POLL_MS);
  const abort = (): boolean => child.kill('SIGKILL');
  run.signal?.addEventListener('abort', abort);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
    });
    run.signal?.throwIfAborted();
    if (ended !== undefined) throw ended;
    if (code !== 0) throw asUserError(words, run);
    run.progress?.(child.pid ?? 0);
    return Buffer.concat(output);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall !== 'spawn skopeo') throw error;
    throw new BulkheadError('tool_missing', 'skopeo is not installed');
  } finally {
    clearInterval(watch);
    run.signal?.removeEventListener('abort', abort);
  }
}

function asUserError(words: string, run: SkopeoRun): BulkheadError {
  const message = fatalMessage(words).replaceAll(run.subject, '');
  const code =
    KINDS.find(([pattern]) => pattern.test(message))?.[1] ??
    (run.registry ? 'registry_unreachable' : 'archive_rejected');
  return new BulkheadError(code, `${run.subject}: ${essential(message)}`);
}

/** skopeo logs `time="..." level=fatal msg="..."`; what matters is the last one's text. */
function fatalMessage(words: string): string {
  const line = words.trim().split('\n').at(-1) ?? '';
  const quoted = /level=fatal msg=("(?:[^"\\]|\\.)*")/.exec(line)?.[1];
  if (quoted === undefined) return line;
  try {
    return String(JSON.parse(quoted));
  } catch {
    return quoted;
  }
}

/** The end of Go's chain of causes; control characters of a hostile registry do not reach a terminal. */
function essential(message: string): string {
  const plain = message.replace(/\p{Cc}+/gu, ' ');
  const short = plain
    .split(/: (?!\/\/)/)
    .slice(-2)
    .join(': ');
  return short.length > WORDS_MAX ? `${short.slice(0, WORDS_MAX)}...` : short;
}

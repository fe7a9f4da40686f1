/** Taking samples: interleaved, after a warm-up, reported as medians with their spread. It refuses to compare across runs. */
import { spawn } from 'node:child_process';

export interface Contender {
  name: string;
  /** One run; resolves with milliseconds. */
  once: () => Promise<number>;
}

export interface Result {
  name: string;
  medianMs: number;
  p10Ms: number;
  p90Ms: number;
  runs: number;
}

function quantile(sorted: number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

/** Every contender once per round, so that a slow moment of the machine hits all of them alike. */
export async function race(contenders: Contender[], rounds: number, warmUp: number): Promise<Result[]> {
  const samples = new Map<string, number[]>(contenders.map(({ name }) => [name, []]));
  for (let round = -warmUp; round < rounds; round++) {
    for (const { name, once } of contenders) {
      const ms = await once();
      if (round >= 0) samples.get(name)?.push(ms);
    }
  }
  return contenders.map(({ name }) => {
    const sorted = (samples.get(name) ?? []).toSorted((a, b) => a - b);
    return {
      name,
      medianMs: quantile(sorted, 0.5),
      p10Ms: quantile(sorted, 0.1),
      p90Ms: quantile(sorted, 0.9),
      runs: sorted.length,
    };
  });
}

/** Milliseconds from spawn to the first byte of stdout (`first`) or to the exit (`exit`). */
export function timeProcess(
  until: 'first' | 'exit',
  command: string,
  args: string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    let first: number | undefined;
    let trouble = '';
    child.stdout.on('data', () => {
      first ??= performance.now() - started;
    });
    child.stderr.on('data', (chunk: Buffer) => {
      trouble += chunk.toString();
    });
    child.on('error', reject);
    child.on('close', (code) => {
      if (code !== 0) reject(new Error(`${command} ${args.join(' ')} ended with ${code}: ${trouble.slice(-400)}`));
      else if (until === 'exit') resolve(performance.now() - started);
      else if (first === undefined) reject(new Error(`${command} ${args.join(' ')} wrote nothing`));
      else resolve(first);
    });
  });
}

/** One line of the report; `target` is met or missed, never left out. */
export function verdict(what: string, ratio: number, target: { atMost?: number; atLeast?: number }): string {
  const met = target.atMost !== undefined ? ratio <= target.atMost : ratio >= (target.atLeast ?? 0);
  const wanted = target.atMost !== undefined ? `at most ${target.atMost}x` : `at least ${target.atLeast}x`;
  return `${met ? 'met   ' : 'MISSED'}  ${what}: ${ratio.toFixed(2)}x (target: ${wanted})`;
}

export function table(results: Result[]): string {
  const width = Math.max(...results.map(({ name }) => name.length));
  return results
    .map(
      (r) =>
        `  ${r.name.padEnd(width)}  median ${r.medianMs.toFixed(1).padStart(8)} ms   p10 ${r.p10Ms.toFixed(1).padStart(8)}   p90 ${r.p90Ms.toFixed(1).padStart(8)}   n=${r.runs}`,
    )
    .join('\n');
}

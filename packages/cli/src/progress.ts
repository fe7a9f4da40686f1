/** Shows the progress of pull, push, load and build: one redrawn line a layer on a terminal, plain lines elsewhere. */
import type { Progress } from '@bulkhead/contract/types';
import { humanSize } from './quantities.ts';
import { escapeControl, LiveBlock } from './terminal.ts';

const REDRAW_MS = 80;
const BAR_WIDTH = 30;

/** Follows to the end; gives the last line's message (an image id or names). */
export async function showProgress(
  lines: AsyncIterable<Progress>,
  out: NodeJS.WriteStream,
  quiet = false,
): Promise<string | undefined> {
  const view = quiet ? undefined : out.isTTY ? new LiveView(out) : new PlainView(out);
  let result: string | undefined;
  try {
    for await (const progress of lines) {
      if (progress.phase === 'done' && progress.layer === undefined) result = progress.message ?? result;
      else view?.show(progress);
    }
  } finally {
    view?.end();
  }
  return result;
}

function layerName(layer: string): string {
  return escapeControl(layer.replace(/^sha256:/, '').slice(0, 12));
}

class PlainView {
  readonly #out: NodeJS.WriteStream;
  readonly #last = new Map<string, string>();

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
  }

  show(progress: Progress): void {
    if (progress.layer === undefined) {
      const text = progress.message ?? progress.phase;
      if (progress.message === undefined && this.#last.get('') === progress.phase) return;
      this.#last.set('', progress.phase);
      this.#out.write(`${escapeControl(text.replace(/\n$/, ''), '\n\t')}\n`);
    } else if (this.#last.get(progress.layer) !== progress.phase) {
      this.#last.set(progress.layer, progress.phase);
      const size = progress.totalBytes ? ` ${humanSize(progress.totalBytes)}` : '';
      this.#out.write(`${layerName(progress.layer)}: ${progress.phase}${size}\n`);
    }
  }

  end(): void {}
}

class LiveView {
  readonly #out: NodeJS.WriteStream;
  readonly #block: LiveBlock;
  readonly #layers = new Map<string, Progress>();
  #timer: NodeJS.Timeout | undefined;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
    this.#block = new LiveBlock(out);
  }

  show(progress: Progress): void {
    if (progress.layer !== undefined) this.#layers.set(progress.layer, progress);
    else if (progress.message !== undefined) {
      this.#block.draw([]);
      this.#out.write(`${escapeControl(progress.message.replace(/\n$/, ''), '\n\t')}\n`);
    } else this.#layers.set('', progress);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#draw();
    }, REDRAW_MS);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#layers.delete('');
    this.#draw();
  }

  #draw(): void {
    this.#block.draw([...this.#layers.values()].map(progressLine));
  }
}

export function progressLine(progress: Progress): string {
  const head = progress.layer === undefined ? `${progress.phase} …` : `${layerName(progress.layer)}: ${progress.phase}`;
  const { currentBytes, totalBytes } = progress;
  if (progress.phase === 'done' || currentBytes === undefined) return head;
  if (!totalBytes) return `${head.padEnd(26)} ${humanSize(currentBytes)}`;
  const part = Math.min(1, currentBytes / totalBytes);
  const bar = '='.repeat(Math.round(part * BAR_WIDTH)).padEnd(BAR_WIDTH);
  return `${head.padEnd(26)} [${bar}] ${humanSize(currentBytes)}/${humanSize(totalBytes)}`;
}

/** Remembers the system call filters a runtime has compiled. Compiling one takes longer than all the rest of a start; the rules are the same each time. */
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import path from 'node:path';

/** crun's annotation for a filter that is ready to load (crun(1)); other runtimes ignore it and compile the rules. */
export const COMPILED_FILTER = 'run.oci.seccomp_bpf_data';

export class CompiledFilters {
  readonly #folder: string;
  readonly #known = new Map<string, string>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Base64 of the filter for exactly these rules and this runtime; undefined until one was kept. */
  find(rules: unknown, runtime: string): string | undefined {
    const name = this.#name(rules, runtime);
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const file = path.join(this.#folder, name);
    if (!existsSync(file)) return undefined;
    const filter = readFileSync(file).toString('base64');
    this.#known.set(name, filter);
    return filter;
  }

  /** Keeps what the runtime has written for a container of these rules. An instance runs just as well without. */
  keep(rules: unknown, runtime: string, compiled: string): void {
    try {
      const { size } = statSync(compiled);
      // A BPF instruction has 8 bytes; anything else is no filter.
      if (size === 0 || size % 8 !== 0) return;
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
      const file = path.join(this.#folder, this.#name(rules, runtime));
      copyFileSync(compiled, `${file}.part`);
      renameSync(`${file}.part`, file);
    } catch {
      // This runtime keeps none.
    }
  }

  #name(rules: unknown, runtime: string): string {
    const { mtimeMs, size } = statSync(runtime);
    return createHash('sha256')
      .update(`${runtime} ${mtimeMs} ${size} ${JSON.stringify(rules)}`)
      .digest('hex');
  }
}

/** Root file systems as plain directories without layers. */
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join, normalize } from 'node:path';
import type { HostPaths, RootfsStore } from '@bulkhead/engine';

export class FakeRootfs implements RootfsStore {
  readonly #directory: string;

  constructor(paths: HostPaths) {
    this.#directory = `${paths.data}/fake-rootfs`;
    mkdirSync(this.#directory, { recursive: true });
  }

  idMap(): undefined {
    return undefined;
  }
  async mount(id: string): Promise<string> {
    const root = join(this.#directory, id);
    mkdirSync(root, { recursive: true });
    return root;
  }
  async unmount(): Promise<void> {}
  async discard(id: string): Promise<void> {
    rmSync(join(this.#directory, id), { recursive: true, force: true });
  }
  async readFile(root: string, path: string): Promise<Buffer | undefined> {
    try {
      return readFileSync(join(root, normalize(`/${path}`)));
    } catch {
      return undefined;
    }
  }
  async ensureDirectory(root: string, path: string): Promise<string> {
    const full = join(root, normalize(`/${path}`));
    mkdirSync(full, { recursive: true });
    return full;
  }
  layerFile(layer: string): string {
    return `/nowhere/${layer}`;
  }
  layerFormat(): 'squashfs' {
    return 'squashfs';
  }
  async leftovers(): Promise<string[]> {
    return readdirSync(this.#directory);
  }
}

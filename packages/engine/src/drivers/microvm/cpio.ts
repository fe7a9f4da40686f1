/** Writer of `newc` cpio archives (kernel: Documentation/driver-api/early-userspace/buffer-format.rst), the form of an initramfs. */

export interface CpioEntry {
  /** Without a leading slash. */
  name: string;
  /** File type and permission bits. */
  mode: number;
  content?: Buffer;
  /** Major and minor of a device node. */
  device?: [number, number];
}

export function writeCpio(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = [];
  let inode = 1;
  const add = (entry: CpioEntry) => {
    const name = Buffer.from(`${entry.name}\0`);
    const content = entry.content ?? Buffer.alloc(0);
    const fields = [
      inode++,
      entry.mode,
      0,
      0,
      1,
      0,
      content.length,
      0,
      0,
      entry.device?.[0] ?? 0,
      entry.device?.[1] ?? 0,
      name.length,
      0,
    ];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
    parts.push(padded(Buffer.concat([Buffer.from(header), name])), padded(content));
  };
  for (const entry of entries) add(entry);
  add({ name: 'TRAILER!!!', mode: 0 });
  return Buffer.concat(parts);
}

function padded(bytes: Buffer): Buffer {
  const missing = (4 - (bytes.length % 4)) % 4;
  return missing === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(missing)]);
}

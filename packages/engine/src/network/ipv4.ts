/** IPv4 addresses and subnets as numbers. Pure. */

export interface Subnet {
  /** Network address as an unsigned 32-bit number. */
  base: number;
  prefixLength: number;
}

/** Undefined where `text` is not four decimal numbers of 0 to 255. */
export function parseAddress(text: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (!match) return undefined;
  let value = 0;
  for (const part of match.slice(1)) {
    const byte = Number(part);
    if (byte > 255) return undefined;
    value = value * 256 + byte;
  }
  return value;
}

export function formatAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}

export const sizeOf = (subnet: Subnet): number => 2 ** (32 - subnet.prefixLength);

/** `10.77.0.0/22`; host bits are cut off; a bare address is a /32. Undefined where malformed. */
export function parseSubnet(text: string): Subnet | undefined {
  const [address = '', prefix = '32', ...rest] = text.split('/');
  const value = parseAddress(address);
  const prefixLength = /^\d{1,2}$/.test(prefix) ? Number(prefix) : 33;
  if (value === undefined || prefixLength > 32 || rest.length > 0) return undefined;
  const size = 2 ** (32 - prefixLength);
  return { base: value - (value % size), prefixLength };
}

export const formatSubnet = (subnet: Subnet): string => `${formatAddress(subnet.base)}/${subnet.prefixLength}`;

export function overlaps(a: Subnet, b: Subnet): boolean {
  return a.base < b.base + sizeOf(b) && b.base < a.base + sizeOf(a);
}

/** A locally administered MAC that belongs to the address: a reused address never leaves a wrong neighbour entry behind. */
export function macOf(address: string): string {
  const value = parseAddress(address) ?? 0;
  const bytes = [24, 16, 8, 0].map((shift) => (Math.floor(value / 2 ** shift) % 256).toString(16).padStart(2, '0'));
  return `02:bd:${bytes.join(':')}`;
}

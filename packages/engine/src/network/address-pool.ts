/** Addresses of one network. An address given back is the last to be given out again. */
import { BulkheadError } from '@bulkhead/contract';
import { formatAddress, parseAddress, type Subnet, sizeOf } from './ipv4.ts';

export class AddressPool {
  readonly #subnet: Subnet;
  readonly #used = new Set<number>();
  /** Offset from the network address; 0 is the network, 1 the gateway, the last the broadcast address. */
  #next = 2;

  constructor(subnet: Subnet) {
    this.#subnet = subnet;
  }

  take(): string {
    const last = sizeOf(this.#subnet) - 2;
    for (let tried = 2; tried <= last; tried += 1) {
      const offset = this.#next;
      this.#next = offset >= last ? 2 : offset + 1;
      if (this.#used.has(offset)) continue;
      this.#used.add(offset);
      return formatAddress(this.#subnet.base + offset);
    }
    throw new BulkheadError('start_failed', `the network has no free address left (${last - 1} in use)`, {
      hint: 'Use another network, or create one with a larger --subnet.',
    });
  }

  reserve(address: string): void {
    const value = parseAddress(address);
    if (value !== undefined) this.#used.add(value - this.#subnet.base);
  }

  release(address: string): void {
    const value = parseAddress(address);
    if (value !== undefined) this.#used.delete(value - this.#subnet.base);
  }
}

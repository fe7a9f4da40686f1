/** Names of this engine's network things on the host, all computed from its tag; it touches nothing. */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';

export const NETNS_DIRECTORY = '/run/netns';
/** Name of the one interface inside an instance. */
export const INSIDE_INTERFACE = 'eth0';

/** Interface names are at most 15 characters: `b`, six of the tag, a letter for the kind, seven to tell them apart. */
export class HostNames {
  readonly tag: string;
  /** Same name in the families inet and bridge. */
  readonly table: string;
  readonly bridgePrefix: string;
  readonly vethPrefix: string;
  readonly netnsPrefix: string;
  /** Number of the link group of what is about to be deleted. */
  readonly doomedGroup: number;

  constructor(tag: string) {
    this.tag = tag;
    this.table = `bulkhead_${tag}`;
    this.bridgePrefix = `b${tag}n`;
    this.vethPrefix = `b${tag}v`;
    this.netnsPrefix = `bh${tag}-`;
    // 31 bits and never 0, the group of everybody else's links.
    this.doomedGroup = (createHash('sha256').update(tag).digest().readUInt32BE() >>> 1) | 1;
  }

  bridge(networkId: string): string {
    return this.bridgePrefix + createHash('sha256').update(networkId).digest('hex').slice(0, 7);
  }

  netns(number: number): string {
    return `${this.netnsPrefix}${number}`;
  }

  netnsPath(number: number): string {
    return `${NETNS_DIRECTORY}/${this.netns(number)}`;
  }

  /** Host end of the pair. */
  veth(number: number): string {
    return this.vethPrefix + number.toString(36);
  }

  /** The number in a netns name or path of this engine; undefined for any other. */
  netnsNumber(nameOrPath: string): number | undefined {
    const name = basename(nameOrPath);
    const digits = name.startsWith(this.netnsPrefix) ? name.slice(this.netnsPrefix.length) : '';
    return /^\d{1,10}$/.test(digits) ? Number(digits) : undefined;
  }
}

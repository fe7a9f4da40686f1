/** Forgets the connections the kernel still steers to an address: a client that sends on would reach whoever has it next. Best effort. */
import { readFileSync } from 'node:fs';
import { sendNetlink } from '../host/syscall.ts';
import { parseAddress } from './ipv4.ts';

interface Flow {
  protocol: number;
  from: string;
  to: string;
  fromPort: number;
  toPort: number;
}

/** Only some kernels show it; where it is missing a forgotten flow times out by itself after half a minute to two. */
const TABLE = '/proc/net/nf_conntrack';
const NETLINK_NETFILTER = 12;
/** Of linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h. */
const DELETE = (1 << 8) | 2;
const REQUEST = 1;
const AF_INET = 2;
const NESTED = 0x8000;
const [TUPLE_ORIG, TUPLE_IP, TUPLE_PROTO] = [1, 1, 2];
const [IP_SOURCE, IP_DESTINATION] = [1, 2];
const [PROTO_NUMBER, PROTO_SOURCE_PORT, PROTO_DESTINATION_PORT] = [1, 2, 3];

/** Connections from elsewhere that were steered to one of `addresses`. */
export function forgetSteered(addresses: ReadonlySet<string>): void {
  let table: string;
  try {
    table = readFileSync(TABLE, 'utf8');
  } catch {
    return;
  }
  for (const flow of steeredTo(table, addresses)) {
    try {
      sendNetlink(NETLINK_NETFILTER, deletion(flow));
    } catch {
      // It has ended in this moment.
    }
  }
}

/** Those whose answers come from another address than their questions go to. */
function steeredTo(table: string, addresses: ReadonlySet<string>): Flow[] {
  return table.split('\n').flatMap((line): Flow[] => {
    const protocol = Number(/^ipv4 +2 +\w+ +(\d+)/.exec(line)?.[1]);
    const both = [...line.matchAll(/src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)/g)];
    const [[, from, to, fromPort, toPort] = [], [, answerer] = []] = both;
    if (!protocol || from === undefined || to === undefined || answerer === undefined) return [];
    if (answerer === to || !addresses.has(answerer)) return [];
    return [{ protocol, from, to, fromPort: Number(fromPort), toPort: Number(toPort) }];
  });
}

function deletion({ protocol, from, to, fromPort, toPort }: Flow): Buffer {
  const ip = [attribute(IP_SOURCE, address(from)), attribute(IP_DESTINATION, address(to))];
  const ports = [
    attribute(PROTO_NUMBER, Buffer.from([protocol])),
    attribute(PROTO_SOURCE_PORT, bigEndian(fromPort)),
    attribute(PROTO_DESTINATION_PORT, bigEndian(toPort)),
  ];
  const tuple = [attribute(TUPLE_IP | NESTED, ...ip), attribute(TUPLE_PROTO | NESTED, ...ports)];
  const body = Buffer.concat([Buffer.from([AF_INET, 0, 0, 0]), attribute(TUPLE_ORIG | NESTED, ...tuple)]);
  const header = Buffer.alloc(16);
  header.writeUInt32LE(header.length + body.length, 0);
  header.writeUInt16LE(DELETE, 4);
  header.writeUInt16LE(REQUEST, 6);
  return Buffer.concat([header, body]);
}

/** Length, type, content, and up to three bytes that make it a multiple of four. */
function attribute(type: number, ...content: Buffer[]): Buffer {
  const inner = Buffer.concat(content);
  const header = Buffer.alloc(4);
  header.writeUInt16LE(header.length + inner.length, 0);
  header.writeUInt16LE(type, 2);
  return Buffer.concat([header, inner, Buffer.alloc(-inner.length & 3)]);
}

function address(text: string): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(parseAddress(text) ?? 0);
  return bytes;
}

function bigEndian(port: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(port);
  return bytes;
}

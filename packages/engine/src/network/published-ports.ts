/** Who has which host port. It holds a socket on each while the engine lives, so that nothing else can take it unnoticed. */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { BulkheadError } from '@bulkhead/contract';
import type { PortMapping } from '../domain/task.ts';
import { runCommand } from './command.ts';
import { parseAddress } from './ipv4.ts';
import { ANY_ADDRESS } from './ruleset.ts';

/** As Linux chooses for itself. */
const FIRST_FREE = 32768;
const LAST_FREE = 60999;
const TRIES = 200;

interface Held {
  mapping: PortMapping;
  owner: string;
  /** Undefined where another program got the port while the engine was down. */
  release: (() => void) | undefined;
}

export class PublishedPorts {
  #held: Held[] = [];

  of(owner: string): PortMapping[] {
    return this.#held.filter((held) => held.owner === owner).map(({ mapping }) => mapping);
  }

  /** All or none. `nameOf` puts a name to an owner for the message. */
  async claim(owner: string, ports: PortMapping[], nameOf: (owner: string) => string): Promise<PortMapping[]> {
    const claimed: PortMapping[] = [];
    try {
      for (const port of ports) {
        const wanted = { ...port, hostIp: hostAddress(port.hostIp) };
        claimed.push(
          wanted.hostPort === 0 ? await this.#choose(owner, wanted) : await this.#take(owner, wanted, nameOf),
        );
      }
      return claimed;
    } catch (error) {
      this.#drop((held) => held.owner === owner && claimed.includes(held.mapping));
      throw error;
    }
  }

  /** After an engine restart: the mapping is in force already; false where another program sits on the port by now. */
  async readopt(owner: string, mapping: PortMapping): Promise<boolean> {
    if (this.#held.some((held) => held.owner === owner && clash(held.mapping, mapping))) return true;
    const entry: Held = { mapping, owner, release: undefined };
    this.#held.push(entry);
    entry.release = await hold(mapping).catch(() => undefined);
    return entry.release !== undefined;
  }

  release(owner: string): PortMapping[] {
    return this.#drop((held) => held.owner === owner);
  }

  retainOwners(owners: Set<string>): void {
    this.#drop((held) => !owners.has(held.owner));
  }

  #drop(matches: (held: Held) => boolean): PortMapping[] {
    const dropped = this.#held.filter(matches);
    this.#held = this.#held.filter((held) => !dropped.includes(held));
    for (const { release } of dropped) release?.();
    return dropped.map(({ mapping }) => mapping);
  }

  async #take(owner: string, mapping: PortMapping, nameOf: (owner: string) => string): Promise<PortMapping> {
    const other = this.#held.find((held) => clash(held.mapping, mapping));
    if (other) throw inUse(mapping, other.owner === owner ? 'this instance itself' : `instance ${nameOf(other.owner)}`);
    const entry: Held = { mapping, owner, release: undefined };
    this.#held.push(entry); // Before the first await: a second claim of the same port must see it.
    try {
      entry.release = await hold(mapping);
      return mapping;
    } catch (error) {
      this.#held = this.#held.filter((held) => held !== entry);
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EADDRINUSE') throw inUse(mapping, await listener(mapping));
      if (code === 'EADDRNOTAVAIL') {
        throw new BulkheadError('invalid_port', `this host has no address ${mapping.hostIp}`, { cause: error });
      }
      throw error;
    }
  }

  async #choose(owner: string, mapping: PortMapping): Promise<PortMapping> {
    for (let tried = 0; tried < TRIES; tried += 1) {
      const candidate = { ...mapping, hostPort: randomInt(FIRST_FREE, LAST_FREE + 1) };
      if (this.#held.some((held) => clash(held.mapping, candidate))) continue;
      const entry: Held = { mapping: candidate, owner, release: undefined };
      this.#held.push(entry);
      try {
        entry.release = await hold(candidate);
        return candidate;
      } catch (error) {
        this.#held = this.#held.filter((held) => held !== entry);
        if ((error as NodeJS.ErrnoException).code === 'EADDRNOTAVAIL') return this.#take(owner, candidate, () => '');
      }
    }
    throw new BulkheadError('port_in_use', `no free ${mapping.protocol} port was found on ${mapping.hostIp}`);
  }
}

function hostAddress(hostIp: string): string {
  if (hostIp === '') return ANY_ADDRESS;
  if (hostIp === 'localhost') return '127.0.0.1';
  if (parseAddress(hostIp) !== undefined) return hostIp;
  throw new BulkheadError(
    'invalid_port',
    `${JSON.stringify(hostIp.slice(0, 60))} is not an IPv4 address of this host`,
    {
      hint: 'Ports are published on IPv4 addresses only; leave the address out for all of them.',
    },
  );
}

function clash(a: PortMapping, b: PortMapping): boolean {
  if (a.protocol !== b.protocol || a.hostPort !== b.hostPort) return false;
  return a.hostIp === b.hostIp || a.hostIp === ANY_ADDRESS || b.hostIp === ANY_ADDRESS;
}

/** Binds as any server would: what fails here would have been hijacked. Never answers; dnat comes before it. */
function hold({ protocol, hostIp, hostPort }: PortMapping): Promise<() => void> {
  return new Promise((resolve, reject) => {
    if (protocol === 'udp') {
      const socket = createSocket({ type: 'udp4' });
      socket.on('error', reject);
      socket.bind({ address: hostIp, port: hostPort, exclusive: true }, () => {
        socket.unref();
        resolve(() => socket.close());
      });
      return;
    }
    const server = createServer((connection) => connection.destroy());
    server.on('error', reject);
    server.listen({ host: hostIp, port: hostPort, exclusive: true, backlog: 1 }, () => {
      server.unref();
      resolve(() => server.close());
    });
  });
}

function inUse({ hostIp, hostPort, protocol }: PortMapping, who: string): BulkheadError {
  return new BulkheadError('port_in_use', `host port ${hostIp}:${hostPort}/${protocol} is already used by ${who}`);
}

/** In ss's words; it names programs only to root. */
async function listener({ protocol, hostPort }: PortMapping): Promise<string> {
  const args = ['-H', '-l', '-n', '-p', protocol === 'udp' ? '-u' : '-t', 'sport', '=', `:${hostPort}`];
  const { stdout } = await runCommand('ss', args).catch(() => ({ stdout: '' }));
  const match = /users:\(\("([^"]*)",pid=(\d+)/.exec(stdout);
  return match ? `the program ${match[1]} (pid ${match[2]})` : 'another program';
}

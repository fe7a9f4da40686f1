/** Networks, addresses, names and published ports. All of it works on while the engine is down. */
import type { Lease } from '../domain/instance.ts';
import type { PortMapping } from '../domain/task.ts';

export interface NetworkRecord {
  id: string;
  name: string;
  /** e.g. `10.77.0.0/24`. */
  subnet: string;
  gateway: string;
  bridge: string;
  /** No way out of the bridge. */
  internal: boolean;
  labels: Record<string, string>;
  createdAt: number;
}

export interface NetworkProvider {
  /** Makes the host agree with `networks` (bridges, nft table, dnsmasq); idempotent; disturbs nothing that is right already. */
  reconcile(
    networks: NetworkRecord[],
    leases: { id: string; lease: Lease; ports: PortMapping[]; names: string[] }[],
  ): Promise<void>;
  /** Chooses a free subnet where none is given; refuses one that overlaps a route of the host. */
  create(request: {
    name: string;
    subnet?: string;
    internal: boolean;
    labels: Record<string, string>;
  }): Promise<NetworkRecord>;
  remove(network: NetworkRecord): Promise<void>;
  /** Takes a ready netns from the pool (or makes one) and registers names. The netns name is computed from the lease. */
  acquire(network: NetworkRecord, id: string, names: string[]): Promise<Lease>;
  /** Publishes ports; returns them with chosen host ports. Refuses one in use, naming who has it where known. */
  publish(id: string, lease: Lease, ports: PortMapping[]): Promise<PortMapping[]>;
  /** Takes ports, names, netns and veth back. Idempotent. */
  free(id: string, lease: Lease): Promise<void>;
  /** Renames without a gap. */
  rename(id: string, lease: Lease, names: string[]): Promise<void>;
  /** Bytes the instance received and sent, from its veth. */
  counters(lease: Lease): Promise<{ receivedBytes: number; sentBytes: number }>;
  /** The engine ends, its instances do not: what was made ready for those to come goes. */
  close?(): Promise<void>;
  /** Removes everything of this engine on the host (`down --purge`, tests). */
  destroyAll(): Promise<void>;
}

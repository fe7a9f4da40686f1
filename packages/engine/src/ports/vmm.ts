/** A virtual machine monitor and the kernels it starts. It makes a machine as told; the driver knows what runs in it. */
import type { Lease } from '../domain/instance.ts';

export type KernelFlavour = 'own' | 'cloud' | 'generic';

export interface GuestKernel {
  flavour: KernelFlavour;
  /** `uname -r` inside. */
  release: string;
  /** Path of the kernel image. */
  image: string;
  /** Where files derived from it may be kept. */
  folder: string;
  /** With its `modules.dep`; absent where everything is built in. */
  modulesDir: string | undefined;
}

export interface KernelSource {
  get(needs: { shares: boolean }): Promise<GuestKernel>;
}

export interface MachineDisk {
  /** Host path. */
  file: string;
  readOnly: boolean;
}

export interface MachineShare {
  tag: string;
  /** Host directory, or a file that is shared alone. */
  source: string;
  readOnly: boolean;
  isFile: boolean;
}

export interface Machine {
  id: string;
  kernel: string;
  initrd: string;
  memoryBytes: number;
  cpus: number;
  disks: MachineDisk[];
  shares: MachineShare[];
  lease?: Lease;
  /** Socket of the control channel, on the host. */
  agentSocket: string;
}

export interface VmmFacts {
  name: string;
  version: string;
  accelerator: 'kvm' | 'tcg';
  machine: string;
}

export interface DiskLayout {
  devices: string[];
  /** The guest needs its SCSI modules. */
  scsi: boolean;
}

export interface Vmm {
  /** Boots something, with a time limit; says why not where it cannot. */
  fingerprint(): Promise<VmmFacts | { reason: string; fix: string }>;
  /** How the guest finds the disks of a machine, in their order: by device name, or by serial where names are dealt out by chance. */
  diskLayout(disks: number, shares: number): DiskLayout;
  /** Writes the bundle of the jailed monitor; the supervisor starts it. */
  prepare(machine: Machine, bundle: string): Promise<{ uid: number }>;
  /** Removes what prepare made outside of the bundle. Idempotent. */
  cleanUp(id: string, bundle: string): Promise<void>;
}

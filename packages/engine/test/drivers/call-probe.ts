/** A small static program for the inside of an instance that tells which system calls are refused. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export type Probe =
  | 'mount'
  | 'umount2'
  | 'unshare'
  | 'setns'
  | 'keyctl'
  | 'add_key'
  | 'request_key'
  | 'bpf'
  | 'ptrace'
  | 'perf_event_open'
  | 'init_module'
  | 'kexec_load'
  | 'reboot'
  | 'userfaultfd'
  | 'io_uring_setup'
  | 'swapon'
  | 'clone3'
  | 'clone_newuser'
  | `socket_${'vsock' | 'alg' | 'inet' | 'unix'}`;

export function probeProgram(): Record<string, Buffer> {
  const folder = mkdtempSync(path.join(tmpdir(), 'bh-probe-'));
  try {
    const program = path.join(folder, 'call-probe');
    const source = path.join(import.meta.dirname, 'call-probe.c');
    const made = spawnSync('musl-gcc', ['-static', '-O1', '-o', program, source], { encoding: 'utf8' });
    assert.equal(made.status, 0, `musl-gcc: ${made.stderr ?? made.error}`);
    return { 'bin/call-probe': readFileSync(program) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What conmon is called with, and the small shell program it takes for its OCI runtime. Pure. */
import path from 'node:path';
import type { SupervisedRun } from '../ports/supervisor.ts';

/** conmon asks its runtime to `create`; this runs it instead, which saves the separate `start` (about 4 ms). */
export const WRAPPER = `#!/bin/sh
# conmon calls this as the OCI runtime: create --bundle B --pid-file P ID
set -f
IFS='
'
shift
if [ -n "$BULKHEAD_STDIN" ]; then
  [ -p "$BULKHEAD_STDIN" ] || mkfifo -m 0666 "$BULKHEAD_STDIN" || exit 1
  # Whoever keeps the other end open is neither the engine, which may die, nor the task.
  sleep infinity 9<>"$BULKHEAD_STDIN" </dev/null >/dev/null 2>&1 &
  echo $! >"$BULKHEAD_STDIN.keeper"
  exec <"$BULKHEAD_STDIN"
fi
for group in $BULKHEAD_JOIN; do echo $$ >"$group/cgroup.procs" || exit 1; done
if [ -n "$BULKHEAD_STANDBY" ]; then
  # Up before its task is: the engine holds the other end and says when. Without an engine there is nothing to wait for.
  mkfifo -m 0600 "$BULKHEAD_STANDBY" && read -r go <"$BULKHEAD_STANDBY" || exit 1
fi
if [ -n "$BULKHEAD_EXTRA_OUTPUT" ]; then
  # The same two pipes once more, for a program that will not take its standard output by number.
  exec 3>&1 4>&2
  set -- --preserve-fds 2 "$@"
fi
exec "$BULKHEAD_RUNTIME" $BULKHEAD_RUNTIME_ARGS run --detach "$@"
`;

/** Where conmon's files are; all names are computed from the instance id. */
export class ConmonFolders {
  readonly wrapper: string;
  readonly exits: string;
  readonly attach: string;
  readonly persist: string;
  readonly pids: string;
  readonly #run: string;

  constructor(run: string) {
    this.#run = run;
    this.wrapper = path.join(run, 'runtime.sh');
    this.exits = path.join(run, 'exits');
    this.attach = path.join(run, 'attach');
    this.persist = path.join(run, 'persist');
    this.pids = path.join(run, 'pids');
  }

  all(): string[] {
    return [this.#run, this.exits, this.attach, this.persist, this.pids];
  }

  /** The bundle also holds conmon's `ctl` and `attach`, and the FIFO of the task's input. */
  bundleOf(id: string): string {
    return path.join(this.#run, 'instances', id);
  }

  pidFile(id: string, whose: 'task' | 'conmon'): string {
    return path.join(this.pids, `${id}.${whose}`);
  }

  /** What a supervisor on standby waits for. */
  standbyOf(id: string): string {
    return path.join(this.bundleOf(id), 'standby');
  }

  /** The input of a task without a terminal. */
  inputOf(id: string): string {
    return path.join(this.bundleOf(id), 'stdin');
  }
}

export function conmonArguments(run: SupervisedRun, folders: ConmonFolders): string[] {
  const named = {
    '-c': run.id,
    '-u': run.id,
    '-n': run.id,
    '-b': run.bundle,
    '-r': folders.wrapper,
    '-l': `k8s-file:${run.logPath}`,
    '-p': folders.pidFile(run.id, 'task'),
    '-P': folders.pidFile(run.id, 'conmon'),
    '--exit-dir': folders.exits,
    '--persist-dir': path.join(folders.persist, run.id),
    '--socket-dir-path': folders.attach,
    ...(run.logMaxBytes > 0 ? { '--log-size-max': String(run.logMaxBytes) } : {}),
  };
  // The attach socket lies in the bundle. conmon's own input blocks it while the task does not read, and with it the
  // task's output: only a terminal, which has no other way, goes through it.
  const flags = ['--full-attach', ...(run.tty ? ['-t'] : []), ...(run.tty && run.stdin ? ['-i'] : [])];
  return [...Object.entries(named).flat(), ...flags];
}

export function conmonEnvironment(run: SupervisedRun, folders: ConmonFolders, standby = false): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin',
    _OCI_SYNCPIPE: '3',
    BULKHEAD_RUNTIME: run.runtime,
    BULKHEAD_RUNTIME_ARGS: run.runtimeArgs.join('\n'),
    BULKHEAD_STDIN: run.stdin && !run.tty ? folders.inputOf(run.id) : '',
    BULKHEAD_STANDBY: standby ? folders.standbyOf(run.id) : '',
    BULKHEAD_EXTRA_OUTPUT: run.extraOutput ? '1' : '',
    BULKHEAD_JOIN: run.joinCgroups.join('\n'),
  };
}

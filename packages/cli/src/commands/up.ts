/** `up`: starts the engine as a daemon and waits until it answers. */
import type { Command } from '../command.ts';
import { runForeground, startDaemon } from '../daemon.ts';

export const command: Command = {
  usage: '[FLAGS]',
  summary: 'Start the engine',
  flags: [
    { name: 'data', kind: 'text', value: 'DIR', meaning: 'Where it keeps its state (default /var/lib/bulkhead)' },
    { name: 'run', kind: 'text', value: 'DIR', meaning: 'Where sockets and mounts go (default /run/bulkhead)' },
    { name: 'policy', kind: 'text', value: 'FILE', meaning: 'Policy file (default /etc/bulkhead/policy.yaml)' },
    { name: 'foreground', kind: 'switch', meaning: 'Stay in the foreground, for a service manager' },
  ],
  examples: ['bulkhead up', 'bulkhead up --data /srv/bulkhead --foreground'],
  subject: 'none',
  arguments: [0, 0],
  run({ flags, host }) {
    const places = { data: flags.text('data'), run: flags.text('run'), policy: flags.text('policy'), host };
    return flags.on('foreground') ? runForeground(places) : startDaemon(places);
  },
};

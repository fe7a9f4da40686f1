/** Every command: its name, one line about it, and how to load it. Nothing of a command is loaded before it is asked for. */
import type { Entry } from './command.ts';

export const GROUPS: Record<string, string> = {
  image: 'Images',
  volume: 'Volumes',
  network: 'Networks',
  system: 'The whole engine',
};

const pull: Entry = { summary: 'Get an image from a registry or archive', load: () => import('./commands/pull.ts') };
const push: Entry = { summary: 'Send an image to a registry', load: () => import('./commands/push.ts') };
const images: Entry = { summary: 'List images', load: () => import('./commands/images.ts') };
const rmi: Entry = { summary: 'Remove images', load: () => import('./commands/rmi.ts') };
const load: Entry = { summary: 'Load images from an archive', load: () => import('./commands/load.ts') };
const save: Entry = { summary: 'Save images to an archive', load: () => import('./commands/save.ts') };
const tag: Entry = { summary: 'Give an image another name', load: () => import('./commands/tag.ts') };
const build: Entry = { summary: 'Build an image from a Dockerfile', load: () => import('./commands/build.ts') };
const prune: Entry = { summary: 'Remove what nothing uses', load: () => import('./commands/prune.ts') };

export const TABLE: Record<string, Entry> = {
  up: { summary: 'Start the engine', load: () => import('./commands/up.ts') },
  down: { summary: 'Stop the engine; instances run on', load: () => import('./commands/down.ts') },
  doctor: { summary: 'Probe what this host can provide', load: () => import('./commands/doctor.ts') },
  version: { summary: 'Show versions', load: () => import('./commands/version.ts') },
  explain: { summary: 'Show which level a task would get, and why', load: () => import('./commands/explain.ts') },
  config: { summary: 'Check Compose files and print them resolved', load: () => import('./commands/config.ts') },
  run: { summary: 'Create and start an instance', load: () => import('./commands/run.ts') },
  create: { summary: 'Create an instance without starting it', load: () => import('./commands/create.ts') },
  start: { summary: 'Start stopped instances', load: () => import('./commands/start.ts') },
  stop: { summary: 'Stop running instances', load: () => import('./commands/stop.ts') },
  restart: { summary: 'Stop and start instances', load: () => import('./commands/restart.ts') },
  kill: { summary: 'Send a signal to instances', load: () => import('./commands/kill.ts') },
  wait: { summary: 'Wait until instances end; print exit codes', load: () => import('./commands/wait.ts') },
  rm: { summary: 'Remove instances', load: () => import('./commands/rm.ts') },
  ps: { summary: 'List instances', load: () => import('./commands/ps.ts') },
  logs: { summary: "Show an instance's output", load: () => import('./commands/logs.ts') },
  attach: { summary: "Connect to an instance's streams", load: () => import('./commands/attach.ts') },
  exec: { summary: 'Run a command inside an instance', load: () => import('./commands/exec.ts') },
  top: { summary: 'Show the processes inside an instance', load: () => import('./commands/top.ts') },
  cp: { summary: 'Copy files into or out of an instance', load: () => import('./commands/cp.ts') },
  inspect: { summary: 'Show everything about things', load: () => import('./commands/inspect.ts') },
  port: { summary: "Show an instance's published ports", load: () => import('./commands/port.ts') },
  stats: { summary: 'Show what instances use', load: () => import('./commands/stats.ts') },
  events: { summary: 'Show what happens', load: () => import('./commands/events.ts') },
  rename: { summary: 'Give an instance another name', load: () => import('./commands/rename.ts') },
  update: { summary: 'Change limits or the restart policy', load: () => import('./commands/update.ts') },
  pull,
  push,
  images,
  rmi,
  load,
  save,
  tag,
  build,
  prune,
  completion: { summary: 'Print a completion script for a shell', load: () => import('./commands/completion.ts') },
  'image ls': images,
  'image pull': pull,
  'image push': push,
  'image rm': rmi,
  'image inspect': { summary: 'Show everything about images', load: () => import('./commands/image-inspect.ts') },
  'image prune': { summary: 'Remove images nothing uses', load: () => import('./commands/image-prune.ts') },
  'image load': load,
  'image save': save,
  'image tag': tag,
  'image build': build,
  'volume create': { summary: 'Make a volume', load: () => import('./commands/volume-create.ts') },
  'volume ls': { summary: 'List volumes', load: () => import('./commands/volume-ls.ts') },
  'volume inspect': { summary: 'Show everything about volumes', load: () => import('./commands/volume-inspect.ts') },
  'volume rm': { summary: 'Remove volumes', load: () => import('./commands/volume-rm.ts') },
  'volume prune': { summary: 'Remove volumes nothing uses', load: () => import('./commands/volume-prune.ts') },
  'network create': { summary: 'Make a network', load: () => import('./commands/network-create.ts') },
  'network ls': { summary: 'List networks', load: () => import('./commands/network-ls.ts') },
  'network inspect': { summary: 'Show everything about networks', load: () => import('./commands/network-inspect.ts') },
  'network rm': { summary: 'Remove networks', load: () => import('./commands/network-rm.ts') },
  'network prune': { summary: 'Remove networks nothing uses', load: () => import('./commands/network-prune.ts') },
  'system prune': prune,
  __complete: { summary: 'Names for completions', hidden: true, load: () => import('./commands/complete.ts') },
};

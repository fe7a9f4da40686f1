/** Names for the completion scripts; hidden, and silent where the engine does not answer. */
import type { Command } from '../command.ts';
import { escapeControl } from '../terminal.ts';
import { familiar } from './images.ts';

export const command: Command = {
  usage: 'KIND',
  summary: 'Names for completions',
  flags: [],
  examples: [],
  subject: 'none',
  arguments: [1, 1],
  async run({ args, client }) {
    const engine = await client();
    let names: string[] = [];
    if (args[0] === 'instance') names = (await engine.listInstances({ all: true })).map((one) => one.name);
    else if (args[0] === 'image') names = (await engine.listImages()).flatMap((one) => one.tags.map(familiar));
    else if (args[0] === 'volume') names = (await engine.listVolumes()).map((one) => one.name);
    else if (args[0] === 'network') names = (await engine.listNetworks()).map((one) => one.name);
    process.stdout.write(names.map((name) => `${escapeControl(name)}\n`).join(''));
  },
};

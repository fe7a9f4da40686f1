/** `config`: Compose files checked, merged and printed as the engine takes them. */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { BulkheadError } from '@bulkhead/contract/errors';
import type { Command } from '../command.ts';
import { PROJECT_FLAGS, projectRequest, tellWarnings, withFiles } from '../project-files.ts';
import { escapeControl } from '../terminal.ts';

interface App {
  services: { name: string; image: string; profiles: string[] }[];
  volumes: { key: string }[];
  networks: { key: string }[];
}

export const command: Command = {
  usage: '[FLAGS] [SERVICE...]',
  summary: 'Check Compose files and print them resolved',
  description:
    'Merges the files, works in variables, includes and extends, and refuses what cannot be run, with its place. Runs nothing.',
  flags: [
    ...PROJECT_FLAGS,
    { name: 'services', kind: 'switch', meaning: 'Only the names of the services' },
    { name: 'volumes', kind: 'switch', meaning: 'Only the names of the volumes' },
    { name: 'networks', kind: 'switch', meaning: 'Only the names of the networks' },
    { name: 'images', kind: 'switch', meaning: 'Only the images' },
    { name: 'profiles', kind: 'switch', meaning: 'Only the profiles' },
    { name: 'quiet', short: 'q', kind: 'switch', meaning: 'Only check' },
    { name: 'format', kind: 'text', choices: ['yaml', 'json'], meaning: 'Form of the output (default yaml)' },
    { name: 'output', short: 'o', kind: 'text', value: 'FILE', meaning: 'Write to a file' },
  ],
  examples: [
    'bulkhead config',
    'bulkhead config -f compose.yaml -f compose.prod.yaml --profile debug',
    'bulkhead config --quiet',
  ],
  subject: 'none',
  arguments: [0, Number.POSITIVE_INFINITY],
  async run({ flags, args, client }) {
    const request = projectRequest(flags, { cwd: process.cwd(), env: process.env });
    // Every profile has a name, also those that are off.
    if (flags.on('profiles')) request.profiles = ['*'];
    const engine = await client();
    const answer = await withFiles(request, (body) => engine.resolveCompose(body));
    tellWarnings(answer.warnings);
    const app = answer.app as App;
    const unknown = args.find((name) => !app.services.some((service) => service.name === name));
    if (unknown !== undefined)
      throw new BulkheadError('usage', `there is no service ${JSON.stringify(unknown)}`, {
        hint: `Services: ${app.services.map(({ name }) => name).join(', ')}.`,
      });
    if (flags.on('quiet')) return;
    const wanted = app.services.filter(({ name }) => args.length === 0 || args.includes(name));
    const lines = (names: string[]): string => names.map((name) => `${escapeControl(name)}\n`).join('');
    const unique = (names: string[]): string[] => [...new Set(names)].sort();
    let text: string;
    if (flags.on('services')) text = lines(wanted.map(({ name }) => name));
    else if (flags.on('images')) text = lines(unique(wanted.map(({ image }) => image)));
    else if (flags.on('volumes')) text = lines(app.volumes.map(({ key }) => key));
    else if (flags.on('networks')) text = lines(app.networks.map(({ key }) => key));
    else if (flags.on('profiles')) text = lines(unique(app.services.flatMap(({ profiles }) => profiles)));
    else if (flags.text('format') === 'json') text = `${JSON.stringify(answer.document, null, 2)}\n`;
    else text = answer.yaml;
    const output = flags.text('output');
    if (output === undefined) process.stdout.write(text);
    else writeFileSync(resolve(process.cwd(), output), text);
  },
};

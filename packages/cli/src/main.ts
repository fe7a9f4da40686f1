/** Entry of the CLI: finds the command, parses its flags, runs it, turns an error into a message and an exit code. */
import { BulkheadError } from '@bulkhead/contract/errors';
import type { Command, Context } from './command.ts';
import { nearest, parseFlags } from './flags.ts';
import { report } from './report.ts';
import { GROUPS, TABLE } from './table.ts';

const SYNONYMS: Record<string, string> = {
  'image remove': 'image rm',
  'image list': 'image ls',
  'volume remove': 'volume rm',
  'volume list': 'volume ls',
  'network remove': 'network rm',
  'network list': 'network ls',
};

interface Invocation {
  name: string;
  rest: string[];
  host: string;
}

export async function main(words: string[], env: NodeJS.ProcessEnv): Promise<number> {
  let name = '';
  try {
    const found = await findCommand(words, env);
    if (typeof found === 'number') return found;
    name = found.name;
    const { command } = await TABLE[found.name]!.load();
    return await runCommand(command, found);
  } catch (error) {
    return report(error, env, name);
  }
}

async function findCommand(words: string[], env: NodeJS.ProcessEnv): Promise<Invocation | number> {
  let host = env.BULKHEAD_HOST ?? '';
  let at = 0;
  for (; at < words.length && words[at]!.startsWith('-'); at++) {
    const word = words[at]!;
    if (word === '--help' || word === '-h') return print((await import('./help.ts')).overview());
    if (word === '--version' || word === '-v') return findCommand(['version', '--client'], env);
    if (word === '--host' || word === '-H') host = words[++at] ?? '';
    else if (word.startsWith('--host=')) host = word.slice('--host='.length);
    else throw new BulkheadError('usage', `unknown flag: ${word}`, { hint: 'See `bulkhead --help`.' });
  }
  const [first, second] = words.slice(at);
  if (first === undefined || first === 'help') {
    if (second !== undefined) return findCommand([...words.slice(at + 1), '--help'], env);
    return print((await import('./help.ts')).overview());
  }
  if (Object.hasOwn(GROUPS, first)) {
    if (second === undefined || second === '--help' || second === '-h')
      return print((await import('./help.ts')).groupHelp(first));
    const name = SYNONYMS[`${first} ${second}`] ?? `${first} ${second}`;
    if (!Object.hasOwn(TABLE, name)) throw unknownCommand(name);
    return { name, rest: words.slice(at + 2), host };
  }
  if (!Object.hasOwn(TABLE, first)) throw unknownCommand(first);
  return { name: first, rest: words.slice(at + 1), host };
}

async function runCommand(command: Command, { name, rest, host }: Invocation): Promise<number> {
  const { flags, args } = parseFlags(rest, command.flags, command.flagsStopAtFirstArgument);
  if (flags.on('help')) return print((await import('./help.ts')).commandHelp(name, command));
  const [fewest, most] = command.arguments;
  if (args.length < fewest || args.length > most) {
    const wanted =
      fewest === most ? `exactly ${fewest}` : args.length < fewest ? `at least ${fewest}` : `at most ${most}`;
    throw new BulkheadError('usage', `"bulkhead ${name}" takes ${wanted} argument${wanted.endsWith(' 1') ? '' : 's'}`, {
      hint: `Usage: bulkhead ${name} ${command.usage}`,
    });
  }
  const context: Context = {
    name,
    flags,
    args,
    host,
    table: TABLE,
    groups: GROUPS,
    client: async () => new (await import('@bulkhead/sdk')).Client(host),
  };
  return (await command.run(context)) ?? 0;
}

function unknownCommand(name: string): BulkheadError {
  const near = nearest(
    name,
    Object.keys(TABLE).filter((one) => !TABLE[one]!.hidden),
  );
  return new BulkheadError('usage', `unknown command: ${name}`, {
    hint: near ? `Did you mean \`bulkhead ${near}\`? See \`bulkhead --help\`.` : 'See `bulkhead --help`.',
  });
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

// A reader that has gone (`bulkhead ps | head -1`) ends us as SIGPIPE would.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 141 : 125));

/** A socket takes what is written at its own pace; what it has not taken would be lost at the exit. */
async function flushed(): Promise<void> {
  const full = [process.stdout, process.stderr].filter((stream) => stream.writableLength > 0);
  await Promise.all(full.map((stream) => new Promise<void>((resolve) => stream.write('', () => resolve()))));
}

const code = await main(process.argv.slice(2), process.env);
await flushed();
// What is still open (a terminal, an unread stream) must not keep a finished command alive.
process.exit(code);

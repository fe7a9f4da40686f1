/** What a command is: data for the parser, the help, the completions and docs/cli.md, and the function that runs it. */
import type { Client } from '@bulkhead/sdk';
import type { Flag } from './flag.ts';
import type { Values } from './flags.ts';

export type { Flag } from './flag.ts';

/** What the arguments of a command name: the completions ask the engine for it. */
export type Subject = 'instance' | 'image' | 'volume' | 'network' | 'level' | 'file' | 'none';

export interface Command {
  /** Without `bulkhead` and the command's own name, e.g. `[FLAGS] IMAGE [COMMAND] [ARG...]`. */
  usage: string;
  summary: string;
  /** More text for the help, where the summary does not say it all. */
  description?: string;
  flags: readonly Flag[];
  examples: readonly string[];
  subject: Subject;
  /** Fewest and most arguments. */
  arguments: readonly [number, number];
  /** Everything from the first argument on belongs to the task. */
  flagsStopAtFirstArgument?: boolean;
  /** Returns the exit code; nothing is 0. */
  run(context: Context): Promise<number | undefined> | Promise<void>;
}

/** One line of the command table. */
export interface Entry {
  summary: string;
  hidden?: boolean;
  load(): Promise<{ command: Command }>;
}

export interface Context {
  /** e.g. `image ls`. */
  name: string;
  flags: Values;
  args: string[];
  /** Loads the SDK only where a command needs it. */
  client(): Promise<Client>;
  /** The engine's socket as the user gave it; empty for the default. */
  host: string;
  /** All commands, for the one that writes completions. */
  table: Record<string, Entry>;
  groups: Record<string, string>;
}

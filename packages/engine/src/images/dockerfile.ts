/** Which images a Dockerfile starts from: enough of its grammar to bring them from the store, and no more. */

const INSTRUCTION = /^\s*([A-Za-z]+)\s+(.*)$/s;

/** How an instruction names an image it takes files from. */
const SOURCES: Record<string, RegExp> = {
  COPY: /(?:^|\s)--from=(\S+)/g,
  ADD: /(?:^|\s)--from=(\S+)/g,
  RUN: /(?:^|\s)--mount=(?:\S*,)?from=([^\s,]+)/g,
};
const NO_SOURCE = /(?!)/g;

/** Names after FROM and `COPY --from=`, with build arguments put in; stages, `scratch` and numbers left out. */
export function imagesNamed(dockerfile: string, buildArgs: Record<string, string>): string[] {
  const variables = new Map<string, string>();
  const stages = new Set<string>(['scratch']);
  const names = new Set<string>();
  let beforeFirst = true;
  for (const line of logicalLines(dockerfile)) {
    const [, word, rest] = INSTRUCTION.exec(line) ?? [];
    if (word === undefined || rest === undefined) continue;
    if (word.toUpperCase() === 'ARG' && beforeFirst) define(rest, variables, buildArgs);
    if (word.toUpperCase() === 'FROM') {
      beforeFirst = false;
      const [name, as, stage] = rest.split(/\s+/).filter((part) => !part.startsWith('--'));
      if (name !== undefined) addName(expand(name, variables), stages, names);
      if (as?.toLowerCase() === 'as' && stage !== undefined) stages.add(stage.toLowerCase());
    }
    for (const [, from = ''] of rest.matchAll(SOURCES[word.toUpperCase()] ?? NO_SOURCE))
      addName(expand(from, variables), stages, names);
  }
  return [...names];
}

function addName(name: string, stages: Set<string>, names: Set<string>): void {
  if (name !== '' && !/^\d+$/.test(name) && !stages.has(name.toLowerCase())) names.add(name);
}

function define(rest: string, variables: Map<string, string>, buildArgs: Record<string, string>): void {
  const [, name, value] = /^([A-Za-z_]\w*)(?:=("[^"]*"|'[^']*'|\S*))?/.exec(rest) ?? [];
  if (name === undefined) return;
  variables.set(name, buildArgs[name] ?? value?.replace(/^(["'])(.*)\1$/, '$2') ?? '');
}

function expand(text: string, variables: Map<string, string>): string {
  const braces = text.replace(
    /\$\{(\w+)(?::-([^}]*))?\}/g,
    (_, name: string, otherwise = '') => variables.get(name) || otherwise,
  );
  return braces.replace(/\$(\w+)/g, (_, name: string) => variables.get(name) ?? '');
}

function logicalLines(text: string): string[] {
  const lines = text.split(/\r?\n/).filter((line) => !/^\s*#/.test(line));
  return lines.join('\n').replace(/\\\n/g, ' ').split('\n');
}

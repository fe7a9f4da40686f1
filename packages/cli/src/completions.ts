/** Completion scripts for bash, zsh and fish, from the command table. Names come from the engine when they are asked for. */
import type { Command, Entry } from './command.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

type Groups = Record<string, string>;

interface Named {
  name: string;
  command: Command;
}

export async function completionScript(
  shell: Shell,
  table: Record<string, Entry>,
  groups: Record<string, string>,
): Promise<string> {
  const visible = Object.entries(table).filter(([, entry]) => !entry.hidden);
  const commands = await Promise.all(
    visible.map(async ([name, entry]) => ({ name, command: (await entry.load()).command })),
  );
  if (shell === 'bash') return bash(commands, groups);
  if (shell === 'zsh') return zsh(commands, groups);
  return fish(commands, groups);
}

const first = (commands: Named[], groups: Groups): string[] => [
  ...commands.filter(({ name }) => !name.includes(' ')).map(({ name }) => name),
  ...Object.keys(groups),
];
const members = (commands: Named[], group: string): string[] =>
  commands.filter(({ name }) => name.startsWith(`${group} `)).map(({ name }) => name.slice(group.length + 1));
const flagsOf = ({ flags }: Command) => flags.filter((flag) => !flag.hidden);
const words = (command: Command): string =>
  flagsOf(command)
    .map((flag) => `--${flag.name}`)
    .concat('--help')
    .join(' ');

function bash(commands: Named[], groups: Groups): string {
  const cases = commands.map(({ name, command }) => {
    const choices = flagsOf(command)
      .filter((flag) => flag.choices)
      .map(
        (flag) => `        --${flag.name}) COMPREPLY=($(compgen -W '${flag.choices!.join(' ')}' -- "$cur")); return ;;`,
      );
    const values = choices.length > 0 ? `      case $prev in\n${choices.join('\n')}\n      esac\n` : '';
    return `    '${name}')\n${values}      flags='${words(command)}'; subject=${command.subject} ;;`;
  });
  return `# bash completion of bulkhead, made by \`bulkhead completion bash\`.
_bulkhead() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} name=\${COMP_WORDS[1]} flags= subject=none
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${first(commands, groups).join(' ')}' -- "$cur")); return
  fi
  case $name in
${Object.keys(groups)
  .map(
    (group) =>
      `    ${group}) if [ "$COMP_CWORD" -eq 2 ]; then COMPREPLY=($(compgen -W '${members(commands, group).join(' ')}' -- "$cur")); return; fi; name="$name \${COMP_WORDS[2]}" ;;`,
  )
  .join('\n')}
  esac
  case $name in
${cases.join('\n')}
  esac
  case $cur in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$cur")); return ;;
  esac
  case $subject in
    file) COMPREPLY=($(compgen -f -- "$cur")) ;;
    none) ;;
    *) COMPREPLY=($(compgen -W "$(\${COMP_WORDS[0]} __complete "$subject" 2>/dev/null)" -- "$cur")) ;;
  esac
}
complete -o default -F _bulkhead bulkhead
`;
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

function zsh(commands: Named[], groups: Groups): string {
  const described = (pairs: [string, string][]): string =>
    pairs.map(([name, text]) => quoted(`${name}:${text.replaceAll(':', '\\:')}`)).join(' ');
  const text = (text: string): string => text.replace(/[[\]:\\]/g, '\\$&');
  const cases = commands.map(({ name, command }) => {
    const specs = flagsOf(command).flatMap((flag) => {
      const value =
        flag.kind === 'switch'
          ? ''
          : `:${text(flag.value ?? flag.name)}:${flag.choices ? `(${flag.choices.join(' ')})` : '_files'}`;
      const repeat = flag.kind === 'list' ? '*' : '';
      const forms = [`--${flag.name}`, ...(flag.short ? [`-${flag.short}`] : [])];
      return forms.map((form) => quoted(`${repeat}${form}[${text(flag.meaning)}]${value}`));
    });
    const rest =
      command.subject === 'none'
        ? ''
        : command.subject === 'file'
          ? "'*:file:_files'"
          : `'*:${command.subject}:_bulkhead_names ${command.subject}'`;
    return `    '${name}') _arguments ${specs.join(' ')} '--help[Show this help]' ${rest} ;;`;
  });
  return `#compdef bulkhead
# zsh completion of bulkhead, made by \`bulkhead completion zsh\`.
_bulkhead_names() { local -a names; names=(\${(f)"$(bulkhead __complete $1 2>/dev/null)"}); compadd -- $names; _files }
_bulkhead() {
  local name=$words[2]
  if (( CURRENT == 2 )); then
    local -a list; list=(${described([
      ...commands
        .filter(({ name }) => !name.includes(' '))
        .map(({ name, command }) => [name, command.summary] as [string, string]),
      ...Object.entries(groups),
    ])})
    _describe command list; return
  fi
  case $name in
${Object.keys(groups)
  .map(
    (group) =>
      `    ${group}) if (( CURRENT == 3 )); then compadd -- ${members(commands, group).join(' ')}; return; fi; name="$name $words[3]"; shift words; (( CURRENT-- )) ;;`,
  )
  .join('\n')}
  esac
  shift words; (( CURRENT-- ))
  case $name in
${cases.join('\n')}
  esac
}
if [ "$funcstack[1]" = _bulkhead ]; then _bulkhead "$@"; else compdef _bulkhead bulkhead; fi
`;
}

function fish(commands: Named[], groups: Groups): string {
  const lines = ['# fish completion of bulkhead, made by `bulkhead completion fish`.', 'complete -c bulkhead -f'];
  for (const [group, text] of Object.entries(groups))
    lines.push(`complete -c bulkhead -n __fish_use_subcommand -a ${group} -d ${quoted(text)}`);
  for (const { name, command } of commands) {
    const [head, member] = name.split(' ') as [string, string?];
    const group = member ? `__fish_seen_subcommand_from ${head}` : '__fish_use_subcommand';
    const others = member ? `; and not __fish_seen_subcommand_from ${members(commands, head).join(' ')}` : '';
    lines.push(`complete -c bulkhead -n ${quoted(group + others)} -a ${member ?? head} -d ${quoted(command.summary)}`);
    const notGroup = Object.keys(groups).join(' ');
    const seen = member
      ? `__fish_seen_subcommand_from ${head}; and __fish_seen_subcommand_from ${member}`
      : `__fish_seen_subcommand_from ${head}; and not __fish_seen_subcommand_from ${notGroup}`;
    for (const flag of flagsOf(command)) {
      const short = flag.short ? ` -s ${flag.short}` : '';
      const value = flag.kind === 'switch' ? '' : flag.choices ? ` -x -a ${quoted(flag.choices.join(' '))}` : ' -r';
      lines.push(`complete -c bulkhead -n ${quoted(seen)}${short} -l ${flag.name}${value} -d ${quoted(flag.meaning)}`);
    }
    if (command.subject === 'file') lines.push(`complete -c bulkhead -n ${quoted(seen)} -F`);
    else if (command.subject !== 'none')
      lines.push(
        `complete -c bulkhead -n ${quoted(seen)} -a ${quoted(`(bulkhead __complete ${command.subject} 2>/dev/null)`)}`,
      );
  }
  return `${lines.join('\n')}\n`;
}

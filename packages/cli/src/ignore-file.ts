/** `.dockerignore`: patterns, later ones win, `!` takes back. */

interface Rule {
  pattern: RegExp;
  keeps: boolean;
}

export class IgnoreFile {
  readonly #rules: Rule[];

  constructor(text: string) {
    this.#rules = text
      .replace(/^\ufeff/, '')
      .split(/\r?\n/)
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => {
        const keeps = line.startsWith('!');
        return { keeps, pattern: toPattern(clean(keeps ? line.slice(1) : line)) };
      });
  }

  /** `path` is relative, with `/`. A pattern that names a directory takes all below it. */
  ignores(path: string): boolean {
    let ignored = false;
    for (const { pattern, keeps } of this.#rules) if (ignored === keeps && pattern.test(path)) ignored = !keeps;
    return ignored;
  }

  /** Where nothing is taken back, an ignored directory need not be entered. */
  get takesBack(): boolean {
    return this.#rules.some((rule) => rule.keeps);
  }
}

function clean(pattern: string): string {
  return pattern
    .trim()
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}

/** Go's filepath.Match with `**`; a match of a leading part of the path counts. */
function toPattern(glob: string): RegExp {
  let source = '';
  for (let at = 0; at < glob.length; at++) {
    const char = glob[at]!;
    if (char === '*' && glob[at + 1] === '*') {
      at++;
      if (glob[at + 1] === '/') {
        at++;
        source += '(?:.*/)?';
      } else source += '.*';
    } else if (char === '*') source += '[^/]*';
    else if (char === '?') source += '[^/]';
    else if (char === '[' && glob.indexOf(']', at + 2) > 0) {
      const end = glob.indexOf(']', at + 2);
      source += `[${glob.slice(at + 1, end).replace(/[[\\]/g, '\\$&')}]`;
      at = end;
    } else if (char === '\\' && at + 1 < glob.length) source += literal(glob[++at]!);
    else source += literal(char);
  }
  return new RegExp(`^${source}(?:/|$)`, 's');
}

function literal(char: string): string {
  return char.replace(/[.*+?^${}()|[\]\\/]/, '\\$&');
}

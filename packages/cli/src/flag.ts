/** One flag of a command, as data: the parser, the help and the completions read it. */
export interface Flag {
  /** Long name without dashes. */
  name: string;
  /** One letter. */
  short?: string;
  /** `switch` takes no value (but `--name=false`), `text` one, `list` may be repeated. */
  kind: 'switch' | 'text' | 'list';
  /** Placeholder of the value in the help. */
  value?: string;
  meaning: string;
  /** Offered by the completions and named in the error of another value. */
  choices?: readonly string[];
  /** Works, but is left out of help and docs. */
  hidden?: boolean;
}

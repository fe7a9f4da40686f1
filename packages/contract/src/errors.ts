/** The one registry of error codes: it gives the HTTP status, the CLI's exit code and `docs/errors.md`. */

export interface ErrorKind {
  /** HTTP status of the API's answer. */
  status: number;
  /** Exit code of the CLI: 125 the engine refused or failed, 126 cannot be invoked, 127 not found, 2 the command line is wrong, 1 anything else a command reports. */
  exit: number;
  /** What it means, one sentence. */
  meaning: string;
  /** The way out, one sentence. */
  fix: string;
}

export const ERRORS = {
  usage: {
    status: 400,
    exit: 125,
    meaning: 'The command line has an unknown or wrong word.',
    fix: 'See `bulkhead COMMAND --help`.',
  },
  not_a_terminal: {
    status: 400,
    exit: 1,
    meaning: 'A terminal was asked for where there is none.',
    fix: 'Leave -t out, or call it from a terminal.',
  },
  invalid_request: {
    status: 400,
    exit: 125,
    meaning: 'The request does not fit the API schema.',
    fix: 'Compare it with /v1/openapi.json.',
  },
  invalid_reference: {
    status: 400,
    exit: 125,
    meaning: 'The image reference is malformed.',
    fix: 'Write it as [REGISTRY/]NAME[:TAG][@sha256:DIGEST], lower case.',
  },
  invalid_name: {
    status: 400,
    exit: 125,
    meaning: 'The name holds characters that are not allowed.',
    fix: 'Use letters, digits, `_`, `.` and `-`, beginning with a letter or digit, at most 128.',
  },
  invalid_limit: {
    status: 400,
    exit: 125,
    meaning: 'A limit is malformed or out of range.',
    fix: 'Sizes are written like 64m or 2g; CPUs like 0.5.',
  },
  invalid_mount: {
    status: 400,
    exit: 125,
    meaning: 'A mount is malformed or its source is missing.',
    fix: 'Write -v SOURCE:/TARGET[:ro]; make the source directory first.',
  },
  invalid_port: {
    status: 400,
    exit: 125,
    meaning: 'A port mapping is malformed.',
    fix: 'Write -p [IP:]HOST:PORT[/tcp|udp].',
  },
  invalid_level: {
    status: 400,
    exit: 125,
    meaning: 'There is no such isolation level.',
    fix: 'Use container, gvisor, microvm or vm.',
  },
  invalid_user: {
    status: 400,
    exit: 125,
    meaning: 'The user or group is not in the image, or the id is out of range.',
    fix: "Use a name from the image's /etc/passwd or an id below 2147483648.",
  },
  invalid_policy: {
    status: 400,
    exit: 125,
    meaning: 'The policy file is wrong.',
    fix: 'Correct it at the place named; `bulkhead explain` checks it.',
  },
  compose_invalid: {
    status: 400,
    exit: 1,
    meaning: 'The Compose file is wrong.',
    fix: 'Correct it at the place named; `bulkhead config` checks it.',
  },
  compose_unsupported: {
    status: 400,
    exit: 1,
    meaning: 'The Compose file asks for something that is not supported here.',
    fix: 'Change it as the message says; docs/compose.md lists what is supported.',
  },
  compose_variable: {
    status: 400,
    exit: 1,
    meaning: 'A variable in the Compose file is written wrong or is not set.',
    fix: 'Set it in the environment or in the .env file.',
  },
  compose_file_missing: {
    status: 400,
    exit: 1,
    meaning: 'A file that the Compose file needs is not there.',
    fix: 'Check the path, or name the file with -f.',
  },
  not_granted: {
    status: 403,
    exit: 125,
    meaning: 'The task asks for an access that it was not granted.',
    fix: 'Leave it out, or grant it in the policy.',
  },
  level_below_minimum: {
    status: 403,
    exit: 125,
    meaning: 'The asked level is weaker than the policy allows.',
    fix: 'Ask for the named minimum, or change the named rule.',
  },
  level_unavailable: {
    status: 409,
    exit: 125,
    meaning: 'This host cannot provide the level, and nothing weaker is used instead.',
    fix: 'Run `bulkhead doctor`; it says what is missing.',
  },
  no_such_instance: { status: 404, exit: 1, meaning: 'No instance has this name or id.', fix: 'See `bulkhead ps -a`.' },
  no_such_image: {
    status: 404,
    exit: 125,
    meaning: 'The image is not in the store and was not found at its source.',
    fix: 'Check the name, or `bulkhead pull` it.',
  },
  no_such_volume: { status: 404, exit: 1, meaning: 'No volume has this name.', fix: 'See `bulkhead volume ls`.' },
  no_such_network: { status: 404, exit: 1, meaning: 'No network has this name.', fix: 'See `bulkhead network ls`.' },
  no_such_path: {
    status: 404,
    exit: 1,
    meaning: 'The path does not exist in the instance.',
    fix: 'Check it with `bulkhead exec INSTANCE ls`.',
  },
  no_such_exec: { status: 404, exit: 1, meaning: 'No exec has this id.', fix: 'Create it again.' },
  not_found: { status: 404, exit: 1, meaning: 'The API has no such address.', fix: 'See /v1/openapi.json.' },
  ambiguous_reference: {
    status: 409,
    exit: 125,
    meaning: 'More than one thing begins with this id.',
    fix: 'Give more digits.',
  },
  name_in_use: {
    status: 409,
    exit: 125,
    meaning: 'The name is taken.',
    fix: 'Choose another, or remove the one that has it.',
  },
  port_in_use: {
    status: 409,
    exit: 125,
    meaning: 'The host port is taken.',
    fix: 'Choose another port, or stop what has it.',
  },
  subnet_in_use: {
    status: 409,
    exit: 125,
    meaning: 'The subnet overlaps one this host already routes.',
    fix: 'Choose another with --subnet.',
  },
  in_use: {
    status: 409,
    exit: 1,
    meaning: 'Something still uses it.',
    fix: 'Remove its users first, or use --force where the command has it.',
  },
  wrong_state: {
    status: 409,
    exit: 1,
    meaning: 'The instance is in a state that does not allow this.',
    fix: 'See its state with `bulkhead ps -a`.',
  },
  command_not_found: {
    status: 400,
    exit: 127,
    meaning: 'The command is not in the image.',
    fix: "Check the spelling and the image's PATH.",
  },
  command_not_executable: {
    status: 400,
    exit: 126,
    meaning: 'The command is there but cannot be run.',
    fix: 'Check its mode, its interpreter and its architecture.',
  },
  start_failed: {
    status: 500,
    exit: 125,
    meaning: 'The runtime could not start the task.',
    fix: "The message holds the runtime's own words; see `bulkhead doctor`.",
  },
  archive_rejected: {
    status: 422,
    exit: 125,
    meaning: 'An archive or layer holds something it must not, or too much.',
    fix: 'Build the image again; do not trust this one.',
  },
  digest_mismatch: {
    status: 422,
    exit: 125,
    meaning: 'Content does not have the digest or size its manifest says.',
    fix: 'Pull again; if it persists the registry or the image is broken.',
  },
  invalid_manifest: {
    status: 422,
    exit: 125,
    meaning: 'The image manifest is malformed or contradicts itself.',
    fix: 'Push the image again with a current tool.',
  },
  registry_unreachable: {
    status: 502,
    exit: 125,
    meaning: 'The registry does not answer as a registry should.',
    fix: 'Check the name, the network and the registry.',
  },
  registry_denied: {
    status: 502,
    exit: 125,
    meaning: 'The registry asks for a login or refuses this one.',
    fix: 'Log in with `skopeo login` or name an auth file with --authfile.',
  },
  platform_missing: {
    status: 404,
    exit: 125,
    meaning: 'The image has no variant for this platform.',
    fix: 'Use --platform, or an image built for it.',
  },
  build_failed: { status: 422, exit: 1, meaning: 'The image build failed.', fix: "The build's own output says where." },
  disk_full: {
    status: 507,
    exit: 125,
    meaning: 'The disk is full; nothing was changed.',
    fix: 'Free space with `bulkhead image prune`, or enlarge the disk.',
  },
  read_only: {
    status: 507,
    exit: 125,
    meaning: 'The data directory cannot be written.',
    fix: 'Mount it writable; nothing was changed.',
  },
  tool_missing: {
    status: 500,
    exit: 125,
    meaning: 'A component is not installed.',
    fix: 'Run `bulkhead doctor`; `npm run setup` installs it.',
  },
  timeout: {
    status: 504,
    exit: 125,
    meaning: 'It took longer than its limit.',
    fix: 'Try again; see `bulkhead doctor` for what is slow.',
  },
  too_large: { status: 413, exit: 125, meaning: 'The request is larger than its limit.', fix: 'Send less.' },
  engine_unreachable: {
    status: 503,
    exit: 125,
    meaning: 'The engine does not answer on its socket.',
    fix: 'Start it with `bulkhead up`.',
  },
  not_supported: { status: 501, exit: 125, meaning: 'This is not supported here.', fix: 'See docs/levels.md.' },
  internal: {
    status: 500,
    exit: 125,
    meaning: 'A defect of Bulkhead.',
    fix: "Please report it with the engine's log.",
  },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERRORS;

export interface ErrorBody {
  code: ErrorCode;
  message: string;
  hint: string;
  /** `file:line:column` where the user's file is at fault. */
  at?: string;
}

/** A user's mistake or a condition of the world: everything that is not our defect. Message: what and why; hint: the way out. */
export class BulkheadError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;
  readonly at: string | undefined;
  constructor(code: ErrorCode, message: string, options: { hint?: string; at?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'BulkheadError';
    this.code = code;
    this.hint = options.hint ?? ERRORS[code].fix;
    this.at = options.at;
  }
  toBody(): ErrorBody {
    return { code: this.code, message: this.message, hint: this.hint, ...(this.at ? { at: this.at } : {}) };
  }
}

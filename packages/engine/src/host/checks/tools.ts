/** The other programs the engine drives, each made to do a bit of its real work where that leaves nothing behind. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Check } from '../../ports/host.ts';
import { firstLine, inDirectory, type Probe, type ProgramResult, program, words } from './probe.ts';

interface Tool {
  name: string;
  package: string;
  versionArgs: string[];
  /** Some real work; absent: that it answers is all that can be asked. */
  use?: (directory: string, signal: AbortSignal) => Promise<ProgramResult>;
  works: string;
  means: string;
  /** A required one is `failed` where it is missing. */
  required: boolean;
}

const TOOLS: Tool[] = [
  {
    name: 'skopeo',
    package: 'skopeo',
    versionArgs: ['--version'],
    use: (directory, signal) =>
      program('skopeo', ['inspect', '--raw', `oci:${emptyLayout(directory)}:probe`], { signal }),
    works: 'images can be pulled, pushed and loaded',
    means: 'no image can be pulled, pushed or loaded',
    required: true,
  },
  {
    name: 'buildah',
    package: 'buildah',
    versionArgs: ['--version'],
    use: (directory, signal) => {
      const places = ['--root', path.join(directory, 'root'), '--runroot', path.join(directory, 'run')];
      return program('buildah', [...places, '--storage-driver', 'vfs', 'from', 'scratch'], { signal });
    },
    works: '`bulkhead build` can be used',
    means: '`bulkhead build` cannot be used',
    required: false,
  },
  {
    name: 'haproxy',
    package: 'haproxy',
    versionArgs: ['-v'],
    use: (directory, signal) => program('haproxy', ['-c', '-f', proxyFile(directory)], { signal }),
    works: 'releases can switch traffic',
    means: 'releases cannot switch traffic; single instances do not need it',
    required: false,
  },
  {
    name: 'socat',
    package: 'socat',
    versionArgs: ['-V'],
    works: "an instance's input can be attached",
    means: '`-i` and `attach` have no input',
    required: true,
  },
  {
    name: 'catatonit',
    package: 'catatonit',
    versionArgs: ['--version'],
    use: (_directory, signal) => program('catatonit', ['--', 'true'], { signal }),
    works: '`--init` can be used',
    means: '`--init` cannot be used at the levels container and gvisor',
    required: false,
  },
  {
    name: 'mkfs.ext4',
    package: 'e2fsprogs',
    versionArgs: ['-V'],
    use: (directory, signal) => program('mkfs.ext4', ['-q', '-F', path.join(directory, 'disk'), '1M'], { signal }),
    works: 'a microVM can have a disk of its own',
    means: 'a microVM has no writable layer',
    required: false,
  },
];

export function toolProbes(scratch: string): Probe[] {
  return TOOLS.map((tool) => toolProbe(tool, scratch));
}

function toolProbe(tool: Tool, scratch: string): Probe {
  const { name, means } = tool;
  const fix = `Install ${tool.package} (\`npm run setup\` does).`;
  const bad = tool.required ? 'failed' : 'warning';
  return {
    name,
    means,
    fix,
    limitMs: 8000,
    run: (signal) =>
      inDirectory(scratch, async (directory): Promise<Omit<Check, 'name'>> => {
        const version = await program(name, tool.versionArgs, { signal });
        if (version.code !== 0) return { status: bad, found: words(version), means, fix };
        const found = versionLine(version);
        const used = await tool.use?.(directory, signal);
        if (used !== undefined && used.code !== 0)
          return { status: bad, found: `${found}: ${words(used)}`, means, fix };
        return { status: 'ok', found, means: tool.works };
      }),
  };
}

function versionLine({ stdout, stderr }: ProgramResult): string {
  const lines = `${stdout}\n${stderr}`.split('\n');
  return firstLine(lines.find((line) => /\d+\.\d+/.test(line)) ?? '');
}

/** An OCI image layout (image-spec v1, image-layout.md) with one image of no layers. */
function emptyLayout(directory: string): string {
  const blobs = path.join(directory, 'blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  const put = (mediaType: string, value: object) => {
    const text = JSON.stringify(value);
    const hex = createHash('sha256').update(text).digest('hex');
    writeFileSync(path.join(blobs, hex), text);
    return { mediaType, digest: `sha256:${hex}`, size: text.length };
  };
  const type = 'application/vnd.oci.image';
  const rootfs = { type: 'layers', diff_ids: [] };
  const config = put(`${type}.config.v1+json`, { architecture: 'amd64', os: 'linux', rootfs });
  const manifest = put(`${type}.manifest.v1+json`, {
    schemaVersion: 2,
    mediaType: `${type}.manifest.v1+json`,
    config,
    layers: [],
  });
  const annotations = { 'org.opencontainers.image.ref.name': 'probe' };
  writeFileSync(
    path.join(directory, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
  writeFileSync(path.join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  return directory;
}

/** A proxy that is checked and never started, so its socket is never made. */
function proxyFile(directory: string): string {
  const file = path.join(directory, 'haproxy.cfg');
  const lines = [
    'defaults',
    '  mode tcp',
    '  timeout connect 1s',
    '  timeout client 1s',
    '  timeout server 1s',
    'frontend probe',
    `  bind unix@${directory}/socket`,
    '  default_backend probe',
    'backend probe',
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

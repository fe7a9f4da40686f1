/** Addresses of images, volumes and networks. */
import type { CreateNetwork, CreateVolume, Pull, Push } from '@bulkhead/contract';
import { BulkheadError } from '@bulkhead/contract';
import type { Lifecycle } from '../lifecycle/lifecycle.ts';
import type { Call } from './call.ts';
import { imageSummary } from './present.ts';
import { withProgress } from './progress.ts';
import type { Handlers } from './routes.ts';

function pullOptions({ platform, insecure, authFile }: Pull | (Push & { platform?: string })) {
  return {
    ...(platform ? { platform } : {}),
    ...(insecure ? { insecure } : {}),
    ...(authFile ? { authFile } : {}),
  };
}

function buildNetwork(name: string): 'default' | 'none' {
  if (name === 'default' || name === 'none') return name;
  throw new BulkheadError('invalid_request', `a build has no network ${JSON.stringify(name)}`, {
    hint: 'Name default, a network of its own, or none; a build never runs on the network of the host.',
  });
}

function buildArgs(call: Call): Record<string, string> {
  return Object.fromEntries(
    call.all('arg').map((entry) => {
      const equals = entry.indexOf('=');
      if (equals < 1) throw new BulkheadError('invalid_request', `${JSON.stringify(entry)} is not NAME=VALUE`);
      return [entry.slice(0, equals), entry.slice(equals + 1)];
    }),
  );
}

export function imageRoutes({ images, deps }: Lifecycle): Handlers {
  const store = deps.images;
  return {
    listImages: () => store.list().map(imageSummary),
    inspectImage: (call) => imageSummary(images.get(call.required('ref'))),
    pullImage: (call) => {
      const body = call.body as Pull;
      return withProgress(async (onProgress) => {
        const options = { ...pullOptions(body), signal: call.signal, onProgress };
        return (await images.pull(body.reference, options)).id;
      });
    },
    pushImage: (call) => {
      const body = call.body as Push;
      const image = images.get(body.reference);
      return withProgress(async (onProgress) => {
        const options = { ...pullOptions(body), signal: call.signal, onProgress };
        await store.push(body.reference, body.destination ?? body.reference, options);
        return image.id;
      });
    },
    tagImage: (call) => images.tag(call.required('ref'), call.required('name')),
    removeImage: (call) => images.remove(call.required('ref'), call.flag('force')),
    loadImage: (call) =>
      withProgress(async (onProgress) => {
        const loaded = await store.load(call.upload, onProgress);
        return loaded.map((image) => image.tags[0] ?? image.id).join(' ');
      }),
    saveImage: (call) => {
      const references = call.all('ref');
      if (references.length === 0) throw new BulkheadError('invalid_request', 'no image was named');
      for (const reference of references) images.get(reference);
      const format = call.text('format') ?? 'docker-archive';
      if (format !== 'docker-archive' && format !== 'oci-archive') {
        throw new BulkheadError('invalid_request', `there is no archive format ${JSON.stringify(format)}`);
      }
      return store.save(references, format);
    },
    buildImage: (call) => {
      const tag = call.text('tag');
      const target = call.text('target');
      const options = {
        dockerfile: call.text('dockerfile') || 'Dockerfile',
        buildArgs: buildArgs(call),
        noCache: call.flag('noCache'),
        ...(tag ? { tag } : {}),
        ...(target ? { target } : {}),
        network: buildNetwork(call.text('network') || 'default'),
      };
      return withProgress(async (onProgress) => (await store.build(call.upload, { ...options, onProgress })).id);
    },
    pruneImages: async (call) => {
      const { images: removed, freedBytes } = await images.prune(call.flag('all'));
      return { removed, freedBytes };
    },
  };
}

export function volumeRoutes({ volumes }: Lifecycle): Handlers {
  return {
    listVolumes: () => volumes.list(),
    createVolume: (call) => volumes.create(call.body as CreateVolume),
    inspectVolume: (call) => volumes.find(call.param('name')),
    removeVolume: (call) => volumes.remove(call.param('name'), call.flag('force')),
    pruneVolumes: (call) => volumes.prune(call.flag('all')),
  };
}

export function networkRoutes({ networks }: Lifecycle): Handlers {
  return {
    listNetworks: () => networks.list(),
    createNetwork: (call) => networks.create(call.body as CreateNetwork),
    inspectNetwork: (call) => networks.find(call.param('name')),
    removeNetwork: (call) => networks.remove(call.param('name')),
    pruneNetworks: async () => ({ removed: await networks.prune(), freedBytes: 0 }),
  };
}

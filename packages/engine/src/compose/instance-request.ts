/** A service of an app as the request that creates one instance of it. */
import type { CreateInstance } from '@bulkhead/contract';
import type { App, AppService } from '../domain/app.ts';

/** The network is the one of highest priority; `name` and further networks are the release's to add. */
export function instanceRequest(app: App, service: AppService): CreateInstance {
  const [first] = service.networks;
  const network = service.networkMode ?? app.networks.find(({ key }) => key === first?.network)?.name;
  return {
    ...service.task,
    image: service.image,
    // What is built here is nowhere to be pulled from.
    pull: service.pull === 'build' || service.build ? 'never' : service.pull,
    ...(network === undefined ? {} : { network }),
    ...(first && service.networkMode === undefined ? { networkAliases: first.aliases } : {}),
  };
}

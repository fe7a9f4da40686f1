/** The image and the platform of a service, refused at their place where no registry could have them. */
import { get, refuse, type Tree, textOf } from './tree.ts';

const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
/** A first part with a dot, a colon or brackets is a registry; only a registry may have capitals. */
const REFERENCE = new RegExp(
  `^(?:(?:[A-Za-z0-9-]+(?:\\.[A-Za-z0-9-]+)+(?::\\d{1,5})?|[A-Za-z0-9-]+:\\d{1,5}|[A-Za-z0-9-]*[A-Z][A-Za-z0-9-]*|localhost|\\[[0-9a-fA-F:]+\\](?::\\d{1,5})?)/)?${COMPONENT}(?:/${COMPONENT})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$`,
);
const ARCHIVE = /^(docker-archive|oci-archive|oci|docker-daemon):./;

export function imageOf(service: Tree): string | undefined {
  const tree = get(service, 'image');
  const image = textOf(tree);
  if (!tree || image === undefined) return undefined;
  if (image === '') refuse(tree.at, 'the image is empty', 'Name one, or build it by `build:`.');
  if (!ARCHIVE.test(image) && !REFERENCE.test(image.replace(/^docker:\/\//, '')))
    refuse(
      tree.at,
      `${JSON.stringify(image)} is not an image reference`,
      'Write it as [REGISTRY/]NAME[:TAG][@sha256:DIGEST], lower case.',
    );
  return image;
}

export function platformOf(service: Tree): string | undefined {
  const tree = get(service, 'platform');
  const platform = textOf(tree);
  if (!tree || !platform) return undefined;
  if (!/^linux(\/[a-z0-9_]+){0,2}$/.test(platform))
    refuse(
      tree.at,
      `the platform ${JSON.stringify(platform)} is not supported`,
      'Write linux/amd64 or linux/arm64, or remove the key.',
      'compose_unsupported',
    );
  return platform;
}

/** Image references that name local files: the engine has another working directory than the caller. */
import { resolve } from 'node:path';

/** `docker-archive:./a.tar:name` to `docker-archive:/here/a.tar:name`; everything else stays. */
export function absoluteReference(reference: string, cwd: string): string {
  const match = /^(docker-archive|oci-archive|oci|dir):([^:]+)(.*)$/s.exec(reference);
  return match ? `${match[1]}:${resolve(cwd, match[2]!)}${match[3]}` : reference;
}

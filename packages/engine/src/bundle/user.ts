/** Finds the ids behind `user[:group]` in the root's own passwd and group files, as Docker does. */
import { BulkheadError } from '@bulkhead/contract';
import type { RootfsStore } from '../ports/rootfs.ts';

export interface Identity {
  uid: number;
  gid: number;
  additionalGids: number[];
  home: string;
}

/** Ids from 2^31 on wrap around in parts of the kernel and of runtimes (CVE-2024-40635). */
const MAX_ID = 2 ** 31 - 1;
const MAX_FILE_BYTES = 4 << 20;

const rows = (text: string): string[][] =>
  text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':'));

export async function resolveUser(
  rootfs: RootfsStore,
  root: string,
  user: string,
  groupAdd: string[],
): Promise<Identity> {
  // What the user namespace does not map does not exist in it.
  const highest = Math.min(MAX_ID, (rootfs.idMap()?.count ?? Infinity) - 1);
  const read = async (file: string): Promise<string[][]> =>
    rows((await rootfs.readFile(root, file, MAX_FILE_BYTES))?.toString('utf8') ?? '');
  const wanted = user === '' ? 'root' : user;
  const [given = '', groupPart] = wanted.split(':', 2);
  const userPart = given === '' ? 'root' : given;
  const passwd = await read('/etc/passwd');
  const groups = await read('/etc/group');

  const number = (text: string, what: string): number | undefined => {
    if (!/^\d+$/.test(text)) return undefined;
    if (Number(text) > highest)
      throw new BulkheadError('invalid_user', `the ${what} id ${text} is out of range: ids end at ${highest}`);
    return Number(text);
  };
  const groupId = (name: string): number => {
    const id = number(name, 'group') ?? number(groups.find((row) => row[0] === name)?.[2] ?? '', 'group');
    if (id === undefined)
      throw new BulkheadError('invalid_user', `the image has no group ${JSON.stringify(name)} in /etc/group`);
    return id;
  };

  const asNumber = number(userPart, 'user');
  // A name wins over a number, as in Docker; root needs no passwd file.
  const entry =
    passwd.find((row) => row[0] === userPart) ??
    passwd.find((row) => asNumber !== undefined && Number(row[2]) === asNumber);
  const uid = asNumber ?? number(entry?.[2] ?? '', 'user') ?? (userPart === 'root' ? 0 : undefined);
  if (uid === undefined)
    throw new BulkheadError('invalid_user', `the image has no user ${JSON.stringify(userPart)} in /etc/passwd`);
  const gid = groupPart ? groupId(groupPart) : (number(entry?.[3] ?? '', 'group') ?? 0);
  const memberOf =
    entry && !groupPart
      ? groups.filter((row) => (row[3] ?? '').split(',').includes(entry[0] ?? '')).map((row) => Number(row[2]))
      : [];
  const additionalGids = [...new Set([...memberOf, ...groupAdd.map(groupId)])].filter(
    (id) => Number.isInteger(id) && id >= 0 && id <= highest,
  );
  return { uid, gid, additionalGids, home: entry?.[5] || '/' };
}

import type { Log } from '../base/log.ts';
import { deleteLink, listLinks } from '../net/links.ts';
import type { NetlinkSocket } from '../net/socket.ts';
import { type Memory, ownDevices } from './memory.ts';

/** Deletes devices of an earlier run that this one does not use: it ended under another configuration. @param used names */
export async function dropStaleDevices(
  socket: NetlinkSocket,
  memory: Memory,
  used: readonly (string | undefined)[],
  log: Log,
): Promise<void> {
  const made = (await memory.devices()).filter(name => !used.includes(name));
  const macs = Object.values((await memory.formerMacs()) ?? {});
  for (const name of ownDevices(listLinks(socket), made, macs)) {
    log.info({ device: name }, 'removing a stale device');
    deleteLink(socket, name);
  }
}

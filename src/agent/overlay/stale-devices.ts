import { describeError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { deleteLink, listLinks } from '../../net/rtnetlink/links.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { ownDevices, type StateDir } from '../inputs/state-dir.ts';
import type { Overlay } from './overlay.ts';

/** Deletes devices of an earlier run that ended under another configuration. What fails is logged. */
export async function dropStaleDevices(
  socket: NetlinkSocket,
  stateDir: StateDir,
  overlays: readonly Overlay[],
  log: Log,
): Promise<void> {
  try {
    const used = overlays.map(({ plan }) => plan.device);
    const made = (await stateDir.devices()).filter(name => !used.includes(name));
    const macs = await stateDir.savedMacs();
    for (const name of ownDevices(listLinks(socket), made, macs)) {
      log.info({ device: name }, 'removing a stale device');
      deleteLink(socket, name);
    }
  } catch (error) {
    log.warn(`stale devices could not be removed: ${describeError(error)}`);
  }
}

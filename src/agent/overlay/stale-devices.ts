import { describeError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { deleteLink, findLink, listLinks } from '../../net/rtnetlink/links.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import type { OverlayPlan } from '../inputs/plan.ts';
import { ownDevices, type StateDir } from '../inputs/state-dir.ts';
import type { Overlay } from './overlay.ts';

/**
 * Records the devices that are about to be created. An existing device may be foreign: its name is recorded once an
 * overlay has opened it (`dropStaleDevices`).
 * @returns names of all devices that agents of this node made
 */
export async function recordDevices(
  socket: NetlinkSocket,
  stateDir: StateDir,
  plans: readonly OverlayPlan[],
  log: Log,
): Promise<readonly string[]> {
  const names = plans.flatMap(({ device }) => device ?? []);
  const absent = names.filter(name => !findLink(socket, name));
  await remember(stateDir, absent, log);
  return stateDir.devices();
}

async function remember(stateDir: StateDir, names: readonly string[], log: Log): Promise<void> {
  await stateDir
    .rememberDevices(names)
    .catch(error => log.warn(`cannot save the names of devices for a restart: ${describeError(error)}`));
}

/** Records the devices in use, and deletes those of an earlier configuration. Failures are logged. */
export async function dropStaleDevices(
  socket: NetlinkSocket,
  stateDir: StateDir,
  overlays: readonly Overlay[],
  log: Log,
): Promise<void> {
  try {
    const used = overlays.flatMap(({ plan }) => plan.device ?? []);
    await remember(stateDir, used, log);
    const made = (await stateDir.devices()).filter(name => !used.includes(name));
    for (const name of ownDevices(listLinks(socket), made)) {
      log.info({ device: name }, 'removing a stale device');
      deleteLink(socket, name);
    }
  } catch (error) {
    log.warn(`cannot remove stale devices: ${describeError(error)}`);
  }
}

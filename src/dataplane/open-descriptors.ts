import { RipstopError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { native } from '../native/load.ts';
import { openTuntap2 } from './io/tuntap2.ts';
import type { DataPlaneOptions } from './options.ts';

/** The package's device, where it can be. */
export function openForeign(
  { netns, queues }: DataPlaneOptions,
  kind: 'tun' | 'tap',
): { fd: number; name: string } {
  if (netns !== '' || queues > 1)
    throw new RipstopError(
      'ECONFIG',
      `driver tuntap2 cannot ${netns === '' ? `have ${queues} queues` : `reach into the namespace ${netns}`}`,
      netns === '' ? 'set workers to 1' : 'start this process inside the namespace',
    );
  return openTuntap2(kind);
}

/** A raw socket for ICMP answers, -1 without the privilege: then pods get no answers, which is said once. */
export function openRaw(netns: string, family: 4 | 6, log: Log): number {
  try {
    return native.rawOpen(netns, family);
  } catch (error) {
    log.warn({ family, err: String(error) }, 'no raw socket: pods get no ICMP errors from the overlay');
    return -1;
  }
}

import { RipstopError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { native } from '../native/load.ts';
import { backpressureFlag, type OffloadSwitches } from './io/offloads.ts';
import { openTun } from './io/tun.ts';
import { loadTuntap2, openTuntap2 } from './io/tuntap2.ts';
import type { DataPlaneOptions } from './options.ts';

interface OpenDevice {
  readonly name: string;
  /** One descriptor per queue. */
  readonly queues: readonly number[];
  /** Offloads that this driver can use. */
  readonly switches: OffloadSwitches;
}

/** Creates the device. @throws RipstopError EPRIV, ENODEVICE, EINUSE, ECONFIG */
export function openDevice(options: DataPlaneOptions): OpenDevice {
  const { netns, deviceName, queues, offloads } = options;
  const kind = options.mode === 'vxlan' ? 'tap' : 'tun';
  if (options.driver === 'tuntap2') {
    checkDriver(options);
    const { fd, name } = openTuntap2(kind);
    return {
      name,
      queues: [fd],
      switches: { ...offloads, csum: false, mergeTcp: false, mergeUdp: false, backpressure: false },
    };
  }
  const flag = backpressureFlag(offloads.backpressure);
  const [first, ...others] = openTun(netns, deviceName, kind, queues, flag);
  if (first === undefined) throw new Error('a device without queues');
  return { name: native.tunName(first), queues: [first, ...others], switches: offloads };
}

/** @throws RipstopError ECONFIG when the driver cannot make such a device on this node */
export function checkDriver({
  driver,
  netns,
  queues,
}: Pick<DataPlaneOptions, 'driver' | 'netns' | 'queues'>): void {
  if (driver !== 'tuntap2') return;
  if (netns !== '' || queues > 1)
    throw new RipstopError(
      'ECONFIG',
      `driver tuntap2 does not support ${netns === '' ? `${queues} queues` : `the namespace ${netns}`}`,
      netns === '' ? 'set workers to 1' : 'start this process inside the namespace',
    );
  loadTuntap2();
}

/** A raw socket for ICMP errors, or -1 without the privilege: then pods get no ICMP errors. */
export function openRaw(netns: string, family: 4 | 6, log: Log): number {
  try {
    return native.rawOpen(netns, family);
  } catch (error) {
    log.warn({ family, err: String(error) }, 'cannot open raw socket; ICMP errors disabled');
    return -1;
  }
}

import { type ErrorCode, isSystemError, RipstopError, type SystemError } from '../../base/errors.ts';
import { native } from '../../native/load.ts';
import type { Batch } from '../descriptor/descriptor.ts';
import { MERGE_TCP, MERGE_UDP } from '../descriptor/native-arguments.ts';
import type { FrameDevice } from './interfaces.ts';

/** linux/if_tun.h */
const IFF_TUN = 0x0001;
const IFF_TAP = 0x0002;
const IFF_MULTI_QUEUE = 0x0100;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;

/**
 * Opens all queues of a TUN or TAP device. The first creates it, closing the last removes it. Whether it is new or was
 * left by a previous run, only processes with CAP_NET_ADMIN can attach to it afterwards.
 * @param netns path of the network namespace, '' for this one
 * @param extra IFF_* besides those that every device has
 * @returns one descriptor per queue
 * @throws RipstopError ENODEVICE, EPRIV, EINUSE, or the errno name
 */
export function openTun(
  netns: string,
  name: string,
  kind: 'tun' | 'tap',
  queues: number,
  extra = 0,
): number[] {
  const shape = (kind === 'tap' ? IFF_TAP : IFF_TUN) | (queues > 1 ? IFF_MULTI_QUEUE : 0);
  const flags = shape | IFF_NO_PI | IFF_VNET_HDR | extra;
  const fds: number[] = [];
  try {
    for (let queue = 0; queue < queues; queue++) fds.push(native.tunOpen(netns, name, flags));
    return fds;
  } catch (error) {
    for (const fd of fds) native.closeFd(fd);
    throw explain(error, name, kind);
  }
}

/** Keeps a device, with its addresses and routes, when the process ends; the next process that opens its name reuses it. */
export function persistTun(fd: number): void {
  const result = native.tunSetPersist(fd, 1);
  if (result < 0) throw new RipstopError('EPRIV', `the device cannot be made to stay: errno ${-result}`);
}

function explain(error: unknown, name: string, kind: string): unknown {
  if (!isSystemError(error)) return error;
  if (error.syscall === 'open(/dev/net/tun)') return explainOpen(error);
  const fault = (code: ErrorCode, what: string, hint?: string) =>
    new RipstopError(code, what, hint, { cause: error });
  switch (error.code) {
    case 'EPERM':
      return fault(
        'EPRIV',
        `cannot create the ${kind} device ${name}: no CAP_NET_ADMIN`,
        'run as root or with NET_ADMIN',
      );
    case 'EBUSY':
      return fault(
        'EINUSE',
        `device ${name}: another process holds it`,
        'stop that process, or choose another device name',
      );
    case 'EINVAL':
      return fault(
        'EINUSE',
        `device ${name}: the name is taken by something that is not a ${kind} device of this shape`,
        `remove it (ip link del ${name}), or choose another device name`,
      );
    default:
      return fault(error.code, `device ${name}: ${error.message}`);
  }
}

/** What keeps /dev/net/tun from being opened, by errno name, and what helps. */
const OPEN_FAILURES: Readonly<Partial<Record<ErrorCode, [code: ErrorCode, why: string, hint: string]>>> = {
  // devcgroup_check_permission (security/device_cgroup.c) answers EPERM to root as well; file modes answer EACCES.
  EPERM: [
    'EPRIV',
    'the device cgroup of this container or service forbids it',
    'Kubernetes: set privileged: true in the securityContext, or give the pod the device (docs/guides/operate/privileges.md, The tun device); ' +
      'Docker: --device /dev/net/tun; systemd: DeviceAllow=/dev/net/tun rw',
  ],
  EACCES: [
    'EPRIV',
    'this user may not open it, it is on a file system mounted with nodev, or a security module denies it',
    'run as root, or give this user the device',
  ],
  ENOENT: [
    'ENODEVICE',
    'it is not there',
    'load the module (modprobe tun), or give the container the device',
  ],
  ENXIO: ['ENODEVICE', 'the kernel has no tun driver', 'load the module on the host (modprobe tun)'],
  ENODEV: ['ENODEVICE', 'the kernel has no tun driver', 'load the module on the host (modprobe tun)'],
};

function explainOpen(error: SystemError): RipstopError {
  const [code, why, hint] = OPEN_FAILURES[error.code] ?? ['ENODEVICE', error.message, undefined];
  return new RipstopError(code, `cannot open /dev/net/tun: ${error.code}, ${why}`, hint, { cause: error });
}

interface TunOptions {
  /** Descriptor of the queue. */
  readonly fd: number;
  /** Device MTU: bytes of the largest inner IP packet. */
  readonly mtu: number;
  /** One element: largest packet into which a GSO packet of a kernel peer on this host is cut. May change. */
  readonly segmentMtu: Int32Array;
  /** MERGE_TCP, MERGE_UDP, ACCEPT_PARTIAL. */
  readonly flags: number;
  /** Longest busy polling within a read; 0 where the worker polls for more than this device. */
  readonly busyPollMicroseconds: number;
  /** STAT_* counters of the native side. */
  readonly stats: Int32Array;
}

/** One queue of a TUN or TAP, batched. */
export class TunDevice implements FrameDevice {
  readonly #options: TunOptions;
  #flags: number;

  constructor(options: TunOptions) {
    this.#options = options;
    this.#flags = options.flags;
  }

  /** Writes frame by frame from now on, because the device keeps refusing GSO packets. */
  stopMerging(): void {
    this.#flags &= ~(MERGE_TCP | MERGE_UDP);
  }

  readBatch(batch: Batch): number {
    const { fd, busyPollMicroseconds } = this.#options;
    return native.tunRead(fd, batch.slab, batch.table, batch.capacity, busyPollMicroseconds);
  }

  writeBatch(batch: Batch, count: number): number {
    const { fd, mtu, segmentMtu, stats } = this.#options;
    const segments = Atomics.load(segmentMtu, 0);
    return native.tunWrite(fd, batch.slab, batch.table, count, this.#flags, mtu, segments, stats);
  }
}

import { readSync, writeSync } from 'node:fs';
import { elementAt } from '../../base/at.ts';
import { RipstopError } from '../../base/errors.ts';
import { native } from '../../native/load.ts';
import { loadOptionalPackage } from '../../native/optional-package.ts';
import {
  type Batch,
  DESC_ERROR,
  DESC_LENGTH,
  DESC_OFFSET,
  DESC_STRIDE,
  DESC_VERDICT,
  FRAME_MAX,
  HEADROOM,
} from '../descriptor/descriptor.ts';
import { FORWARD, WRITE_FAILED } from '../descriptor/verdicts.ts';
import type { FrameDevice } from './interfaces.ts';

/*
 * A TUN or TAP of the package node-tuntap2 (its maintained fork): one packet per call and no virtio-net header, so neither
 * GSO packets nor partial checksums. Correct and slow, for comparison with the native device.
 */

const PACKAGE = '@xiaobaidadada/node-tuntap2-wintun';

/** What we use of the package: the constructor creates the device. Its streams stay unread. */
interface Tuntap2 {
  readonly name: string;
  readonly _fd: number;
}

interface Tuntap2Package {
  readonly LinuxTun: new () => Tuntap2;
  readonly LinuxTap: new () => Tuntap2;
}

/**
 * Loads the package. It is optional: most installations lack it.
 * @param load replaces the search for the package, for tests
 * @throws RipstopError ECONFIG, with what to install and where
 */
export function loadTuntap2(load?: (name: string) => unknown): Tuntap2Package {
  const found = loadOptionalPackage<Tuntap2Package>(PACKAGE, load);
  if ('loaded' in found) return found.loaded;
  const { reason, cause } = found.missing;
  throw new RipstopError(
    'ECONFIG',
    `driver tuntap2 cannot be used: ${reason}`,
    'the driver native needs no package',
    { cause },
  );
}

/**
 * Creates a device in the namespace of the caller, as the package supports no other. The package chooses the name (`tun0`,
 * `tap0`).
 * @throws RipstopError ECONFIG, EPRIV, ENODEVICE
 */
export function openTuntap2(kind: 'tun' | 'tap'): { fd: number; name: string } {
  const { LinuxTun, LinuxTap } = loadTuntap2();
  let device: Tuntap2;
  try {
    device = kind === 'tap' ? new LinuxTap() : new LinuxTun();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const missing = message.includes('ENOENT');
    throw new RipstopError(
      missing ? 'ENODEVICE' : 'EPRIV',
      `tuntap2 makes no ${kind} device: ${message}`,
      missing ? 'load the module (modprobe tun)' : 'run as root or with NET_ADMIN',
      { cause: error },
    );
  }
  const result = native.tunSetOwner(device._fd);
  if (result < 0) {
    native.closeFd(device._fd);
    throw new RipstopError('EPRIV', `the owner of device ${device.name} cannot be set: errno ${-result}`);
  }
  return { fd: device._fd, name: device.name };
}

/** One such device as a FrameDevice: a batch is one frame. */
export class Tuntap2Device implements FrameDevice {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  readBatch(batch: Batch): number {
    // The package leaves the descriptor blocking.
    const ready = native.waitReadable(this.#fd, -1, -1, 0, 0);
    if (ready <= 0) return ready;
    try {
      batch.table.fill(0, 0, DESC_STRIDE);
      batch.table[DESC_OFFSET] = HEADROOM;
      batch.table[DESC_LENGTH] = readSync(this.#fd, batch.slab, HEADROOM, FRAME_MAX, null);
      return 1;
    } catch (error) {
      return -errnoOf(error);
    }
  }

  writeBatch(batch: Batch, count: number): number {
    const { table, slab } = batch;
    let refused = 0;
    for (let at = 0; at < count * DESC_STRIDE; at += DESC_STRIDE) {
      if (table[at + DESC_VERDICT] !== FORWARD) continue;
      try {
        writeSync(this.#fd, slab, elementAt(table, at + DESC_OFFSET), elementAt(table, at + DESC_LENGTH));
      } catch (error) {
        table[at + DESC_VERDICT] = WRITE_FAILED;
        table[at + DESC_ERROR] = errnoOf(error);
        refused++;
      }
    }
    return refused;
  }
}

/** Positive errno of a failed call of node:fs. */
function errnoOf(error: unknown): number {
  return Math.abs((error as NodeJS.ErrnoException).errno ?? 5);
}

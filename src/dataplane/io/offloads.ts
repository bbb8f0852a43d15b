import { elementAt } from '../../base/at.ts';
import { isSystemError } from '../../base/errors.ts';
import { native } from '../../native/load.ts';

/*
 * Kernel offloads, probed once at start. Only this file depends on kernel versions; the rest of the code reads the result.
 */

/** Configuration: everything but backpressure is on unless switched off. */
export interface OffloadSwitches {
  /** Frames from the device have partial checksums (TUN_F_CSUM); the base of all device offloads. */
  readonly csum: boolean;
  /** TCP GSO packets from the device (TUN_F_TSO4, TUN_F_TSO6). */
  readonly tso: boolean;
  /** UDP GSO packets from the device (TUN_F_USO4 and TUN_F_USO6; Linux 6.2). */
  readonly uso: boolean;
  /** Many datagrams in one message to the underlay (UDP_SEGMENT; Linux 4.18). */
  readonly udpGso: boolean;
  /** Many datagrams in one message from the underlay (UDP_GRO; Linux 5.0). */
  readonly udpGro: boolean;
  /** TCP segments merged into GSO packets before they are written to the device. */
  readonly mergeTcp: boolean;
  /** The same for UDP datagrams of equal size. */
  readonly mergeUdp: boolean;
  /** A full queue of the device stops the qdisc instead of dropping packets (IFF_BACKPRESSURE; Linux 7.3). */
  readonly backpressure: boolean;
  /** A BPF program that keeps each flow in one queue of a device that has several (Linux 4.16). */
  readonly steering: boolean;
}

/** All offloads that are on by default. Backpressure made several TCP streams slower in a test of its authors. */
export const ALL_OFFLOADS: OffloadSwitches = {
  csum: true,
  tso: true,
  uso: true,
  udpGso: true,
  udpGro: true,
  mergeTcp: true,
  mergeUdp: true,
  backpressure: false,
  steering: true,
};

/** State of an offload, with the reason where it is off. */
export type OffloadState =
  | 'on'
  | 'off by configuration'
  | 'not supported by this kernel'
  | 'refused by the kernel at run time'
  | `needs ${string}`;

/** Loads a program for `native.tunSetSteering`. @returns its descriptor @throws SystemError */
export type SteeringLoader = () => number;

/** The state of each, for the log and `ripstop status`. Immutable. */
export type Offloads = Readonly<Record<keyof OffloadSwitches, OffloadState>>;

/** TUN_F_* of linux/if_tun.h; USO is newer than Debian 12's headers. */
const TUN_F_CSUM = 0x01;
const TUN_F_TSO4 = 0x02;
const TUN_F_TSO6 = 0x04;
const TUN_F_USO4 = 0x20;
const TUN_F_USO6 = 0x40;

/** TUNSETIFF of linux/if_tun.h, since Linux 7.3: Documentation/networking/tuntap.rst, section 3.4. */
const IFF_BACKPRESSURE = 0x0080;
/** For `native.tunSetSteering`: the kernel chooses. */
const NO_PROGRAM = -1;

/** linux/udp.h */
const UDP_SEGMENT = 103;
const UDP_GRO = 104;

function wanted(on: boolean, supported: boolean): OffloadState {
  if (!on) return 'off by configuration';
  return supported ? 'on' : 'not supported by this kernel';
}

function hasBackpressure(flags: number): boolean {
  return flags > 0 && (flags & IFF_BACKPRESSURE) !== 0;
}

/** What TUNSETIFF is asked for: a kernel that does not know the flag would ignore it without an error. */
export function backpressureFlag(isOn: boolean): number {
  return isOn && hasBackpressure(native.tunFeatures()) ? IFF_BACKPRESSURE : 0;
}

/**
 * @param features IFF_* that the kernel accepts (TUNGETFEATURES), or -errno
 * @param flags IFF_* that the device has (TUNGETIFF), or -errno
 */
export function backpressureState(isOn: boolean, features: number, flags: number): OffloadState {
  const state = wanted(isOn, hasBackpressure(features));
  return state === 'on' && !hasBackpressure(flags) ? 'refused by the kernel at run time' : state;
}

/**
 * Asks the kernel for each offload that is switched on and leaves device and sockets set to what it granted.
 * @param queues descriptors of the device's queues: the mask is the device's, each queue's call replaces it
 * @param receivers sockets that receive
 * @param loadSteering loads the program that chooses queues
 */
export function probeOffloads(
  switches: OffloadSwitches,
  queues: readonly number[],
  receivers: readonly number[],
  loadSteering: SteeringLoader | undefined,
): Offloads {
  const grants = (mask: number) => queues.every(fd => native.tunSetOffload(fd, mask) === 0);
  let mask = 0;
  const ask = (on: boolean, bits: number): OffloadState => {
    const state = wanted(on, on && grants(mask | bits));
    if (state === 'on') mask |= bits;
    return state;
  };
  const needs = (base: OffloadState, name: string, state: () => OffloadState): OffloadState =>
    base === 'on' ? state() : `needs ${name}`;

  const csum = ask(switches.csum, TUN_F_CSUM);
  const tso = needs(csum, 'csum', () => ask(switches.tso, TUN_F_TSO4 | TUN_F_TSO6));
  const uso = needs(tso, 'tso', () => ask(switches.uso, TUN_F_USO4 | TUN_F_USO6));
  grants(mask);
  const has = (option: number) => receivers.every(fd => native.udpProbe(fd, option) === 1);
  return Object.freeze({
    csum,
    tso,
    uso,
    udpGso: wanted(switches.udpGso, switches.udpGso && has(UDP_SEGMENT)),
    udpGro: wanted(switches.udpGro, switches.udpGro && has(UDP_GRO)),
    // A device accepts GSO packets of the kinds that it would deliver itself.
    mergeTcp: wanted(switches.mergeTcp, true),
    mergeUdp: uso === 'not supported by this kernel' ? 'needs uso' : wanted(switches.mergeUdp, true),
    backpressure: backpressureState(
      switches.backpressure,
      native.tunFeatures(),
      native.tunFlags(elementAt(queues, 0)),
    ),
    steering: steer(switches.steering, queues, loadSteering),
  });
}

/** Without the program the kernel chooses the queue, also on a persistent device that had one. */
function steer(isOn: boolean, queues: readonly number[], load: SteeringLoader | undefined): OffloadState {
  const [queue] = queues;
  if (queue === undefined || queues.length === 1) return wanted(isOn, true); // one queue has all flows
  if (!isOn || !load) {
    native.tunSetSteering(queue, NO_PROGRAM);
    return 'off by configuration';
  }
  let program: number;
  try {
    program = load();
  } catch (error) {
    if (!isSystemError(error)) throw error;
    native.tunSetSteering(queue, NO_PROGRAM);
    return error.code === 'EPERM' ? 'needs CAP_BPF' : 'not supported by this kernel';
  }
  const status = native.tunSetSteering(queue, program);
  native.closeFd(program); // the device keeps it
  return wanted(true, status === 0);
}

/** One line for the log: offloads that are on, and those that are off with the reason. */
export function describeOffloads(offloads: Offloads): string {
  const entries = Object.entries(offloads) as [string, OffloadState][];
  const on = entries.filter(([, state]) => state === 'on').map(([name]) => name);
  const off = entries.filter(([, state]) => state !== 'on').map(([name, state]) => `${name} (${state})`);
  return [`on: ${on.join(' ') || 'none'}`, ...(off.length > 0 ? [`off: ${off.join(', ')}`] : [])].join('; ');
}

import { elementAt } from '../../base/at.ts';
import { native } from '../../native/load.ts';
import { SK_MEMINFO_DROPS, SK_MEMINFO_RMEM_ALLOC, SK_MEMINFO_VARS } from '../descriptor/native-arguments.ts';

/*
 * What the kernel counts at the two doors of the data plane, before a worker sees it: frames at the queue of the device
 * (struct rtnl_link_stats64, linux/if_link.h), datagrams at the sockets of the underlay (SK_MEMINFO_*,
 * linux/sock_diag.h). No packet is touched for it: the kernel counts anyway.
 */

const NETLINK_ROUTE = 0;
const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const NLM_F_REQUEST = 1;
const IFLA_IFNAME = 3;
const IFLA_STATS64 = 23;
/** struct nlmsghdr and struct ifinfomsg. */
const HEADER_BYTES = 16;
const LINK_HEADER_BYTES = 16;
const INDEX_AT = HEADER_BYTES + 4;
const ATTRIBUTES_AT = HEADER_BYTES + LINK_HEADER_BYTES;
/** rx_packets, tx_packets, rx_bytes, tx_bytes, rx_errors, tx_errors, rx_dropped, tx_dropped: u64 each. */
const TX_PACKETS_AT = 8;
const TX_DROPPED_AT = 7 * 8;
const STATS_BYTES = 8 * 8;
/** IFNAMSIZ with its attribute header. */
const NAME_ATTRIBUTE_BYTES = 4 + 16;
const REPLY_BYTES = 64 * 1024;
const ANSWER_MS = 1000;
const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** tx_packets and tx_dropped: what the kernel sent by the device is what a program reads from it. */
interface DeviceCounts {
  readonly packets: number;
  readonly dropped: number;
}

/** Sums since the start of the data plane, but for `waitingBytes`. */
export interface KernelCounts {
  /** Frames that found the queue of the device full, or no reader. A GSO packet is one frame. */
  readonly deviceDropped: number;
  /** Frames that were read from the device. */
  readonly deviceRead: number;
  /** Datagrams that found the receive buffer full, or had a wrong UDP checksum. */
  readonly socketDropped: number;
  /** Bytes of memory of the datagrams that wait in the sockets now. */
  readonly waitingBytes: number;
}

export const NO_KERNEL_COUNTS: KernelCounts = {
  deviceDropped: 0,
  deviceRead: 0,
  socketDropped: 0,
  waitingBytes: 0,
};

/** Reads the counters of one device and its sockets. What they counted before the data plane started is left out. */
export class KernelCounters {
  /** Descriptor of the netlink socket; the owner of the sockets closes it with them. */
  readonly netlink: number;
  readonly #receivers: readonly number[];
  readonly #reply = new Uint8Array(REPLY_BYTES);
  readonly #memory = new Int32Array(SK_MEMINFO_VARS);
  /** Interface index, or the name until the first answer. */
  #device: number | string;
  #sequence = 0;
  readonly #deviceBefore: DeviceCounts;
  readonly #socketsBefore: readonly number[];
  #last = NO_KERNEL_COUNTS;

  /** @throws SystemError when there is no netlink socket */
  constructor(netns: string, device: string, receivers: readonly number[]) {
    this.netlink = native.netlinkOpen(netns, NETLINK_ROUTE, 0);
    this.#device = device;
    this.#receivers = receivers;
    this.#deviceBefore = this.#readDevice() ?? { packets: 0, dropped: 0 };
    this.#socketsBefore = receivers.map(fd => this.#readSocket(fd).dropped);
  }

  /** The counts of the last `read`. */
  get last(): KernelCounts {
    return this.#last;
  }

  /** Asks the kernel. A device that was deleted keeps its last counts. */
  read(): KernelCounts {
    const device = this.#readDevice();
    const before = this.#deviceBefore;
    let socketDropped = 0;
    let waitingBytes = 0;
    for (const [index, fd] of this.#receivers.entries()) {
      const { dropped, waiting } = this.#readSocket(fd);
      // The kernel counts in 32 bits.
      socketDropped += (dropped - (this.#socketsBefore[index] ?? 0)) >>> 0;
      waitingBytes += waiting;
    }
    this.#last = {
      deviceDropped: device ? device.dropped - before.dropped : this.#last.deviceDropped,
      deviceRead: device ? device.packets - before.packets : this.#last.deviceRead,
      socketDropped,
      waitingBytes,
    };
    return this.#last;
  }

  /** Zeros where the kernel has no SO_MEMINFO. */
  #readSocket(fd: number): { dropped: number; waiting: number } {
    native.udpMemory(fd, this.#memory);
    return {
      dropped: elementAt(this.#memory, SK_MEMINFO_DROPS),
      waiting: elementAt(this.#memory, SK_MEMINFO_RMEM_ALLOC),
    };
  }

  /** What the device counted since it was made; undefined when the kernel does not answer. */
  #readDevice(): DeviceCounts | undefined {
    const sequence = ++this.#sequence;
    if (native.netlinkSend(this.netlink, linkRequest(this.#device, sequence)) < 0) return undefined;
    for (;;) {
      const bytes = native.netlinkReceive(this.netlink, this.#reply, ANSWER_MS);
      if (bytes < ATTRIBUTES_AT) return undefined;
      const reply = new DataView(this.#reply.buffer, 0, bytes);
      // An answer that came after its time is passed over.
      if (reply.getUint32(8, LITTLE_ENDIAN) !== sequence) continue;
      if (reply.getUint16(4, LITTLE_ENDIAN) !== RTM_NEWLINK) return undefined;
      this.#device = reply.getInt32(INDEX_AT, LITTLE_ENDIAN);
      return deviceCounts(reply);
    }
  }
}

/** RTM_GETLINK for one interface, by index or name. */
function linkRequest(device: number | string, sequence: number): Uint8Array {
  const bytes = new Uint8Array(ATTRIBUTES_AT + (typeof device === 'string' ? NAME_ATTRIBUTE_BYTES : 0));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, LITTLE_ENDIAN);
  view.setUint16(4, RTM_GETLINK, LITTLE_ENDIAN);
  view.setUint16(6, NLM_F_REQUEST, LITTLE_ENDIAN);
  view.setUint32(8, sequence, LITTLE_ENDIAN);
  if (typeof device === 'number') view.setInt32(INDEX_AT, device, LITTLE_ENDIAN);
  else {
    view.setUint16(ATTRIBUTES_AT, NAME_ATTRIBUTE_BYTES, LITTLE_ENDIAN);
    view.setUint16(ATTRIBUTES_AT + 2, IFLA_IFNAME, LITTLE_ENDIAN);
    bytes.set(new TextEncoder().encode(device), ATTRIBUTES_AT + 4);
  }
  return bytes;
}

/** The statistics in an RTM_NEWLINK message; undefined without them. */
function deviceCounts(reply: DataView): DeviceCounts | undefined {
  for (let at = ATTRIBUTES_AT; at + 4 <= reply.byteLength; ) {
    const length = reply.getUint16(at, LITTLE_ENDIAN);
    if (length < 4) return undefined;
    if (reply.getUint16(at + 2, LITTLE_ENDIAN) === IFLA_STATS64 && length >= 4 + STATS_BYTES)
      return {
        packets: Number(reply.getBigUint64(at + 4 + TX_PACKETS_AT, LITTLE_ENDIAN)),
        dropped: Number(reply.getBigUint64(at + 4 + TX_DROPPED_AT, LITTLE_ENDIAN)),
      };
    at += (length + 3) & ~3;
  }
  return undefined;
}

import { ignoreErrors } from '../error.ts';
import {
  type Attributes,
  headerU32,
  LITTLE_ENDIAN,
  readAttributes,
  readNested,
  readText,
  readU32,
} from './attributes.ts';
import { type Message, MessageWriter, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from './message.ts';
import type { NetlinkSocket } from './socket.ts';

/*
 * Traffic control (linux/pkt_sched.h, pkt_cls.h): a token bucket as root queue, and a redirection of all that comes in
 * by a device to another one, where it can be shaped as outgoing traffic (ifb). The filter is u32 with a mask of zero, not
 * matchall, which many kernels are built without.
 */

export const RTM_NEWQDISC = 36;
export const RTM_DELQDISC = 37;
const RTM_GETQDISC = 38;
export const RTM_NEWTFILTER = 44;
/** struct tcmsg: u8 family, pad, u16 pad, i32 link, u32 handle, u32 parent, u32 info. */
const TC_HEADER = 20;
const TC_H_ROOT = 0xffffffff;
/** TC_H_INGRESS and TC_H_CLSACT are one number, as are the handles of their queues. */
export const TC_H_INGRESS = 0xfffffff1;
export const INGRESS_HANDLE = 0xffff0000;
export const TCA_KIND = 1;
export const TCA_OPTIONS = 2;
const TCA_TBF_PARMS = 1;
const TCA_TBF_RATE64 = 4;
const TCA_TBF_BURST = 6;
const TC_LINKLAYER_ETHERNET = 1;
const ETH_P_ALL = 0x0003;
const TCA_U32_CLASSID = 1;
const TCA_U32_SEL = 5;
const TCA_U32_ACT = 7;
const TC_U32_TERMINAL = 1;
const TCA_ACT_KIND = 1;
const TCA_ACT_OPTIONS = 2;
const TCA_MIRRED_PARMS = 2;
const TC_ACT_STOLEN = 4;
const TCA_EGRESS_REDIR = 1;
/** The scheduler's clock counts 64 ns per tick (PSCHED_SHIFT 6). */
const TICK_NS = 64;

export interface TokenBucketFilter {
  /** Bytes per second, on average. */
  readonly rate: number;
  /** Bytes that may leave at once. */
  readonly burst: number;
  /** Bytes that wait at most; more is dropped. */
  readonly limit: number;
}

/** A queueing discipline as the kernel reports it. */
interface Qdisc {
  readonly link: number;
  readonly kind: string;
  readonly root: boolean;
  readonly tokenBucket: TokenBucketFilter | undefined;
}

/** Writes struct tcmsg. */
export function tcHeader(
  writer: MessageWriter,
  link: number,
  handle: number,
  parent: number,
  info = 0,
): MessageWriter {
  return writer.u8(0).u8(0).u16(0).u32(link).u32(handle).u32(parent).u32(info);
}

/** tcm_info of a filter for all protocols. Upper half: priority; lower half: protocol in network order. */
export function filterInfo(priority: number): number {
  return ((priority << 16) | (LITTLE_ENDIAN ? ETH_P_ALL << 8 : ETH_P_ALL)) >>> 0;
}

function readQdisc(message: Message): Qdisc {
  const { payload } = message;
  const all = readAttributes(payload, TC_HEADER);
  const kind = readText(all, TCA_KIND) ?? '';
  return {
    link: headerU32(payload, 4),
    kind,
    root: headerU32(payload, 12) === TC_H_ROOT,
    tokenBucket: kind === 'tbf' ? readTokenBucket(readNested(all, TCA_OPTIONS)) : undefined,
  };
}

/** struct tc_tbf_qopt: rate and peak tc_ratespec (12 bytes each, rate at 8), u32 limit, buffer in ticks, mtu. */
function readTokenBucket(options: Attributes): TokenBucketFilter | undefined {
  const parameters = options.get(TCA_TBF_PARMS);
  if (!parameters) return undefined;
  const wide = options.get(TCA_TBF_RATE64);
  const rate =
    wide && wide.length >= 8
      ? Number(new DataView(wide.buffer, wide.byteOffset).getBigUint64(0, LITTLE_ENDIAN))
      : headerU32(parameters, 8);
  const burst = readU32(options, TCA_TBF_BURST);
  return {
    rate,
    burst: burst ?? Math.round((headerU32(parameters, 28) * TICK_NS * rate) / 1e9),
    limit: headerU32(parameters, 24),
  };
}

/** Queueing disciplines of one link, the kernel's default ones included. */
export function listQdiscs(socket: NetlinkSocket, link: number): Qdisc[] {
  const writer = tcHeader(new MessageWriter(RTM_GETQDISC, 0, `list queueing of device ${link}`), link, 0, 0);
  return socket.list(writer, RTM_NEWQDISC, readQdisc).filter(qdisc => qdisc.link === link);
}

/** Shapes what leaves by `link`, in place of its root queue. @throws NetError */
export function replaceTokenBucket(socket: NetlinkSocket, link: number, bucket: TokenBucketFilter): void {
  const what = `shape device ${link} to ${bucket.rate} bytes per second`;
  const writer = new MessageWriter(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, what);
  tcHeader(writer, link, 0x10000, TC_H_ROOT);
  writer.attributeText(TCA_KIND, 'tbf').nested(TCA_OPTIONS, options => {
    const parameters = new DataView(new ArrayBuffer(36));
    parameters.setUint8(1, TC_LINKLAYER_ETHERNET);
    parameters.setUint32(8, Math.min(bucket.rate, 0xffffffff), LITTLE_ENDIAN);
    parameters.setUint32(24, bucket.limit, LITTLE_ENDIAN);
    const ticks = Math.round((bucket.burst * 1e9) / bucket.rate / TICK_NS);
    parameters.setUint32(28, Math.min(ticks, 0xffffffff), LITTLE_ENDIAN);
    options.attribute(TCA_TBF_PARMS, new Uint8Array(parameters.buffer));
    options.attributeU32(TCA_TBF_BURST, bucket.burst);
    if (bucket.rate > 0xffffffff) {
      const wide = new DataView(new ArrayBuffer(8));
      wide.setBigUint64(0, BigInt(bucket.rate), LITTLE_ENDIAN);
      options.attribute(TCA_TBF_RATE64, new Uint8Array(wide.buffer));
    }
  });
  socket.request(writer);
}

/** Takes the root queue away, so that the kernel's default one comes back; true when there was one. @throws NetError */
export function deleteRootQdisc(socket: NetlinkSocket, link: number): boolean {
  return remove(socket, link, 0, TC_H_ROOT, `delete the root queue of device ${link}`);
}

/** Takes the ingress queue and its filters away; true when there was one. @throws NetError */
export function deleteIngressQdisc(socket: NetlinkSocket, link: number): boolean {
  return remove(socket, link, INGRESS_HANDLE, TC_H_INGRESS, `delete the ingress queue of device ${link}`);
}

function remove(socket: NetlinkSocket, link: number, handle: number, parent: number, what: string): boolean {
  // EINVAL: the ingress queue is not there; ENOENT: the root queue is the kernel's own default.
  const writer = new MessageWriter(RTM_DELQDISC, 0, what, ['ENOENT', 'ENODEV', 'EINVAL']);
  return socket.request(tcHeader(writer, link, handle, parent));
}

/**
 * Sends all that comes in by `from` out of `to` (an ifb): makes the ingress queue of `from` where it is missing and
 * puts one filter there.
 * @throws NetError
 */
export function redirectIngress(socket: NetlinkSocket, from: number, to: number): void {
  const what = `redirect what comes in by device ${from} to device ${to}`;
  const queue = new MessageWriter(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, what);
  tcHeader(queue, from, INGRESS_HANDLE, TC_H_INGRESS).attributeText(TCA_KIND, 'ingress');
  ignoreErrors(['EEXIST'], () => socket.request(queue));
  const filter = new MessageWriter(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, what);
  tcHeader(filter, from, 0, INGRESS_HANDLE, filterInfo(1));
  filter.attributeText(TCA_KIND, 'u32').nested(TCA_OPTIONS, options => {
    options.attributeU32(TCA_U32_CLASSID, 0x10001);
    // struct tc_u32_sel with one key whose mask is zero: every packet matches.
    const selector = new Uint8Array(32);
    selector[0] = TC_U32_TERMINAL;
    selector[2] = 1;
    options.attribute(TCA_U32_SEL, selector);
    options.nested(TCA_U32_ACT, actions => actions.nested(1, action => writeRedirect(action, to)));
  });
  socket.request(filter);
}

/** struct tc_mirred: u32 index, capabilities, action, two counts, then what to do and the link. */
function writeRedirect(action: MessageWriter, to: number): void {
  const parameters = new DataView(new ArrayBuffer(28));
  parameters.setInt32(8, TC_ACT_STOLEN, LITTLE_ENDIAN);
  parameters.setInt32(20, TCA_EGRESS_REDIR, LITTLE_ENDIAN);
  parameters.setUint32(24, to, LITTLE_ENDIAN);
  action.attributeText(TCA_ACT_KIND, 'mirred').nested(TCA_ACT_OPTIONS, options => {
    options.attribute(TCA_MIRRED_PARMS, new Uint8Array(parameters.buffer));
  });
}

import { constants } from 'node:os';
import { native } from '../../native/load.ts';
import { ignoreErrors, inNamespace, malformedMessage, NetError } from '../error.ts';
import { align4, LITTLE_ENDIAN, readAttributes, readText } from './attributes.ts';
import {
  MESSAGE_HEADER,
  type Message,
  type MessageWriter,
  NLM_F_ACK,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  splitMessages,
} from './message.ts';

/** rtnetlink: links, addresses, routes, neighbours, rules, queueing. */
const NETLINK_ROUTE = 0;
/** Subsystems of netfilter: connection tracking. */
export const NETLINK_NETFILTER = 12;
const NLMSGERR_ATTR_MSG = 1;
/** The kernel builds dump datagrams of at most 32 KiB; a single answer may be larger (a link with many VFs). */
const RECEIVE_BYTES = 256 * 1024;
/** rtnetlink answers at once, or waits for the rtnl lock, which a busy machine may hold for seconds. */
const ANSWER_MS = 30_000;
/** Requests in one message: as many refusals as fit the default receive buffer. */
const BATCH = 64;
/** How often a dump is repeated when the table changed under it. */
const DUMP_TRIES = 20;

interface OpenOptions {
  /** Path of the network namespace; '' or absent for the caller's own. */
  netns?: string;
  /** Mask of legacy multicast groups (RTMGRP_*). */
  groups?: number;
  /** rtnetlink when absent. */
  protocol?: number;
}

/** The result of a request. Zero errno is an acknowledgement. */
interface Outcome {
  readonly errno: number;
  readonly text: string;
}

/**
 * The outcome in an NLMSG_ERROR or NLMSG_DONE message, with the text of the extended acknowledgement.
 * @throws NetError EBADMSG when it is cut
 */
export function readOutcome(message: Message): Outcome {
  const { payload, flags, type } = message;
  const cut = () => malformedMessage(`error message of ${payload.length} bytes`);
  if (payload.length < 4) {
    if (type === NLMSG_DONE) return { errno: 0, text: '' };
    throw cut();
  }
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const errno = -view.getInt32(0, LITTLE_ENDIAN);
  if ((flags & NLM_F_ACK_TLVS) === 0) return { errno, text: '' };
  let at = 4;
  if (type === NLMSG_ERROR) {
    // The request follows: its header only when capped, whole otherwise.
    if (payload.length < 4 + MESSAGE_HEADER) throw cut();
    const request = flags & NLM_F_CAPPED ? MESSAGE_HEADER : view.getUint32(4, LITTLE_ENDIAN);
    if (request > payload.length - at) throw malformedMessage(`error message that repeats ${request} bytes`);
    at += align4(request);
  }
  if (at > payload.length) throw cut();
  return { errno, text: readText(readAttributes(payload, at), NLMSGERR_ATTR_MSG) ?? '' };
}

/**
 * A netlink socket that was opened inside a namespace and is used from anywhere. Every call is synchronous: the kernel
 * does the work within the send. Not for the hot path.
 */
export class NetlinkSocket {
  /** Path of the namespace, '' for the one of this process. */
  readonly netns: string;
  #fd: number;
  #sequence = 1;
  readonly #buffer = new Uint8Array(RECEIVE_BYTES);

  /** @throws RipstopError/NetError naming the namespace when it cannot be entered (ENOENT, EINVAL, EPERM) */
  constructor(options: OpenOptions = {}) {
    const { netns = '', protocol = NETLINK_ROUTE, groups = 0 } = options;
    this.netns = netns;
    this.#fd = inNamespace(netns, 'open a netlink socket', () => native.netlinkOpen(netns, protocol, groups));
  }

  /** Descriptor, to wait on together with others. */
  get fd(): number {
    return this.#fd;
  }

  /**
   * Sends a request that changes something and waits for the acknowledgement.
   * @returns false when there was nothing to delete
   * @throws NetError
   */
  request(writer: MessageWriter): boolean {
    return ignoreErrors(writer.absent, () => this.#exchange(writer, NLM_F_ACK));
  }

  /**
   * Sends requests that change something, many in one message to the kernel, which carries them out in order and continues
   * after a refusal.
   * @returns the refusals by index of the request, without those that found nothing to delete
   * @throws NetError when the kernel does not answer
   */
  requestAll(writers: readonly MessageWriter[]): Map<number, NetError> {
    const refusals = new Map<number, NetError>();
    for (let from = 0; from < writers.length; from += BATCH) {
      const batch = writers.slice(from, from + BATCH);
      const what = (at: number) => batch[at]?.what ?? 'carry out requests';
      const first = this.#sequence;
      this.#sequence += batch.length;
      const last = first + batch.length - 1;
      // One acknowledgement for all: a refusal is reported without being asked for.
      const parts = batch.flatMap((writer, at) => {
        const message = writer.finish(first + at, first + at === last ? NLM_F_ACK : 0);
        return [message, new Uint8Array(align4(message.length) - message.length)];
      });
      const sent = native.netlinkSend(this.#fd, Buffer.concat(parts));
      if (sent < 0) throw new NetError(-sent, what(0), 'the request could not be sent');
      this.#collect(first, last, (sequence, errno, text) => {
        const at = sequence - first;
        if (errno === 0) return;
        const error = new NetError(errno, what(at), text);
        if (!batch[at]?.absent.includes(error.code)) refusals.set(from + at, error);
      });
    }
    return refusals;
  }

  /** Reads outcomes until that of request `last`. */
  #collect(first: number, last: number, take: (sequence: number, errno: number, text: string) => void): void {
    for (;;) {
      const datagram = this.#answer('carry out requests');
      for (const message of splitMessages(datagram)) {
        if (message.type !== NLMSG_ERROR || message.sequence < first || message.sequence > last) continue;
        const { errno, text } = readOutcome(message);
        take(message.sequence, errno, text);
        if (message.sequence === last) return;
      }
    }
  }

  /** Sends a request that is answered by messages and an acknowledgement. @throws NetError */
  get(writer: MessageWriter): Message[] {
    return this.#exchange(writer, NLM_F_ACK).messages;
  }

  /** Reads a whole table; again when it changed meanwhile, so that the result is one consistent state. @throws NetError */
  dump(writer: MessageWriter): Message[] {
    for (let tries = 0; tries < DUMP_TRIES; tries++) {
      const { messages, interrupted } = this.#exchange(writer, NLM_F_DUMP);
      if (!interrupted) return messages;
    }
    throw new NetError(
      constants.errno.EINTR,
      writer.what,
      `the table changed during each of ${DUMP_TRIES} dumps`,
    );
  }

  /** The objects of a table: the messages of `type` that `matches` accepts, read by `read`. @throws NetError */
  list<T>(
    writer: MessageWriter,
    type: number,
    read: (message: Message) => T,
    matches: (message: Message) => boolean = () => true,
  ): T[] {
    return this.dump(writer)
      .filter(message => message.type === type && matches(message))
      .map(read);
  }

  /**
   * The next datagram of events, an empty list when none is there within `timeoutMs`.
   * @throws NetError ENOBUFS when the kernel dropped events because they were not fetched in time: read the state again
   */
  receive(timeoutMs: number): Message[] {
    const got = this.#receive(timeoutMs, 'receive netlink events');
    return got ? splitMessages(got) : [];
  }

  close(): void {
    if (this.#fd < 0) return;
    native.closeFd(this.#fd);
    this.#fd = -1;
  }

  #exchange(writer: MessageWriter, flags: number): { messages: Message[]; interrupted: boolean } {
    const sequence = this.#sequence++;
    const sent = native.netlinkSend(this.#fd, writer.finish(sequence, flags));
    if (sent < 0) throw new NetError(-sent, writer.what, 'the request could not be sent');
    const messages: Message[] = [];
    let interrupted = false;
    for (;;) {
      const datagram = this.#answer(writer.what);
      for (const message of splitMessages(datagram)) {
        // Left over from a request that was given up.
        if (message.sequence !== sequence) continue;
        if (message.flags & NLM_F_DUMP_INTR) interrupted = true;
        if (message.type !== NLMSG_ERROR && message.type !== NLMSG_DONE) {
          messages.push(message);
          continue;
        }
        const { errno, text } = readOutcome(message);
        if (errno !== 0) throw new NetError(errno, writer.what, text);
        return { messages, interrupted };
      }
    }
  }

  #answer(what: string): Uint8Array {
    const datagram = this.#receive(ANSWER_MS, what);
    if (datagram) return datagram;
    throw new NetError(constants.errno.ETIMEDOUT, what, `no answer within ${ANSWER_MS} ms`);
  }

  #receive(timeoutMs: number, what: string): Uint8Array | undefined {
    for (;;) {
      const count = native.netlinkReceive(this.#fd, this.#buffer, timeoutMs);
      if (count === -constants.errno.EINTR) continue;
      if (count === -constants.errno.ENOBUFS)
        throw new NetError(
          constants.errno.ENOBUFS,
          what,
          'the kernel dropped messages that were not fetched in time',
        );
      if (count < 0) throw new NetError(-count, what);
      if (count === 0) return undefined;
      // Copied: the buffer is used again for the next datagram while messages are still being looked at.
      return this.#buffer.slice(0, count);
    }
  }
}

/** Opens a socket for the duration of `action`. @throws NetError */
export function withSocket<T>(
  netns: string,
  action: (socket: NetlinkSocket) => T,
  protocol = NETLINK_ROUTE,
): T {
  const socket = new NetlinkSocket({ netns, protocol });
  try {
    return action(socket);
  } finally {
    socket.close();
  }
}

import { viewOf } from '../../../encap/wire/addresses.ts';
import { describeError, RipstopError } from '../../base/errors.ts';
import { parseJson } from '../../base/schema.ts';
import {
  KIND_EGRESS,
  KIND_INGRESS,
  RECORD_HEADER_BYTES,
  RECORD_LOST,
  RECORD_LOST_DROPPED,
  RECORD_LOST_FORWARDED,
} from '../../dataplane/tap/record-layout.ts';
import { ByteQueue } from '../format/byte-queue.ts';
import { ByteSource } from '../format/byte-source.ts';
import {
  type CaptureContext,
  type OuterLink,
  type PeerChange,
  readContext,
  readOuterLink,
  readPeerChange,
} from './context.ts';
import { PeerHistory } from './peer-history.ts';
import { type PodAddress, PodNames, podAddresses } from './pods.ts';
import {
  type CaptureRecord,
  decodeRecord,
  type Losses,
  type LossVisitor,
  type RecordVisitor,
} from './record.ts';

/*
 * The stream of records from the forwarding process to its reader. Each message is an int32 length, an int32 kind and
 * that many bytes, little-endian, as both processes run on one machine. The first message is the context as JSON; the
 * others are changes of the peers, of the links to them and of the pods of the node as JSON, and records in the layout of
 * the ring, in which the losses are those since the record before. A record without points has no frame and tells only losses.
 * A change comes before the first record that was made with it; records of former generations may still follow.
 */
const KIND_CONTEXT = 0x43;
const KIND_PEERS = 0x50;
const KIND_LINK = 0x4c;
const KIND_PODS = 0x4e;
const JSON_KINDS: readonly number[] = [KIND_CONTEXT, KIND_PEERS, KIND_LINK, KIND_PODS];
const MESSAGE_HEADER = 8;
/** Enough for a GSO packet with its header. */
const RECORD_MAX = 1 << 20;
/** Enough for the context of as many peers as the tables can have. */
const JSON_MAX = 1 << 24;
/** Records decoded before the consumer is called. */
const BATCH = 1024;

/** The message that opens a stream. */
export function encodeContext(context: CaptureContext): Uint8Array {
  return encodeJson(KIND_CONTEXT, { ...context, recordBytes: RECORD_HEADER_BYTES });
}

/** The message of a change of the peers. */
export function encodePeerChange(change: PeerChange): Uint8Array {
  return encodeJson(KIND_PEERS, change);
}

/** The pods of a node; `version` changes with them. */
export interface PodSource {
  readonly version: number;
  readonly all: readonly PodAddress[];
}

/** The stream, with the pods of the node after its context and whenever they have changed. */
export async function* withPods(
  stream: AsyncIterable<Uint8Array>,
  pods: PodSource,
): AsyncGenerator<Uint8Array, void, void> {
  let told: number | undefined;
  for await (const messages of stream) {
    const isFirst = told === undefined;
    if (isFirst) yield messages;
    if (told !== pods.version) {
      told = pods.version;
      yield encodeJson(
        KIND_PODS,
        pods.all.map(({ address, namespace, name, since, until }) => ({
          address,
          namespace,
          name,
          since,
          until,
        })),
      );
    }
    if (!isFirst) yield messages;
  }
}

/** The message of how the kernel sends to a peer, for the records after it. */
export function encodeOuterLink(link: OuterLink): Uint8Array {
  return encodeJson(KIND_LINK, link);
}

function encodeJson(kind: number, value: object): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(value));
  const message = new Uint8Array(MESSAGE_HEADER + text.length);
  const view = new DataView(message.buffer);
  view.setInt32(0, text.length, true);
  view.setInt32(4, kind, true);
  message.set(text, MESSAGE_HEADER);
  return message;
}

/** Gathers records as messages, straight from the rings, without decoding them. */
export class RecordQueue {
  readonly #queue = new ByteQueue();

  /** Adds one record; a visitor of `TapReader`. */
  readonly add: RecordVisitor = (_worker, view, at, size, kind, lost) => {
    const queue = this.#queue;
    const message = queue.reserve(MESSAGE_HEADER + size);
    const out = queue.view;
    out.setInt32(message, size, true);
    out.setInt32(message + 4, kind, true);
    const to = message + MESSAGE_HEADER;
    queue.bytes.set(new Uint8Array(view.buffer, view.byteOffset + at, size), to);
    setLosses(out, to, lost);
  };

  /** Adds what a worker lost after its last record; a visitor of `TapReader`. */
  readonly addLosses: LossVisitor = (_worker, kind, lost) => {
    const queue = this.#queue;
    const message = queue.reserve(MESSAGE_HEADER + RECORD_HEADER_BYTES);
    queue.view.setInt32(message, RECORD_HEADER_BYTES, true);
    queue.view.setInt32(message + 4, kind, true);
    setLosses(queue.view, message + MESSAGE_HEADER, lost);
  };

  /** Adds a whole message. */
  addMessage(message: Uint8Array): void {
    const at = this.#queue.reserve(message.length);
    this.#queue.bytes.set(message, at);
  }

  /** The messages so far; the queue is empty then. */
  take(): Uint8Array {
    return this.#queue.take();
  }
}

function setLosses(view: DataView, record: number, { all, forwarded, dropped }: Losses): void {
  view.setInt32(record + RECORD_LOST * 4, all, true);
  view.setInt32(record + RECORD_LOST_FORWARDED * 4, forwarded, true);
  view.setInt32(record + RECORD_LOST_DROPPED * 4, dropped, true);
}

/** A stream as its reader sees it. */
export interface RecordStream {
  readonly context: CaptureContext;
  /** Pods of the node, the former ones included. */
  readonly pods: PodNames;
  /** What came in together, in order. Ends with the stream; throws RipstopError EAGENT when that is broken. */
  batches(): AsyncGenerator<CaptureRecord[], void, void>;
}

/** Reads the opening of a stream. Throws RipstopError EAGENT. */
export async function readRecordStream(chunks: AsyncIterable<Uint8Array>): Promise<RecordStream> {
  const source = new ByteSource(chunks);
  const first = await nextMessage(source);
  if (first?.kind !== KIND_CONTEXT) broken(source, 'it does not begin with a context');
  const context = jsonOf(source, first.body, readOpening);
  const peers = new PeerHistory(context);
  const pods = new PodNames();
  return { context, pods, batches: () => batches(source, peers, pods) };
}

/** @throws RipstopError EAGENT for records of another layout than this version has */
function readOpening(raw: unknown): CaptureContext {
  const { recordBytes, ...context } = raw as { readonly recordBytes?: unknown };
  if (recordBytes !== RECORD_HEADER_BYTES)
    throw new RipstopError(
      'EAGENT',
      'the agent is of another version, whose records this command cannot read',
      'restart the agent, or use the `ripstop` of its version',
    );
  return readContext(context);
}

function jsonOf<T>(source: ByteSource, body: DataView, read: (raw: unknown) => T): T {
  try {
    return read(parseJson(new TextDecoder().decode(body), 'message'));
  } catch (error) {
    return broken(source, describeError(error));
  }
}

async function* batches(
  source: ByteSource,
  peers: PeerHistory,
  pods: PodNames,
): AsyncGenerator<CaptureRecord[], void, void> {
  try {
    for (;;) {
      const records: CaptureRecord[] = [];
      do {
        const message = await nextMessage(source);
        if (!message) {
          if (records.length > 0) yield records;
          return;
        }
        if (message.kind === KIND_PEERS) peers.apply(jsonOf(source, message.body, readPeerChange));
        else if (message.kind === KIND_PODS)
          pods.replace(jsonOf(source, message.body, raw => podAddresses.read(raw, 'pods')));
        else if (message.kind === KIND_LINK) peers.setLink(jsonOf(source, message.body, readOuterLink));
        else records.push(recordOf(source, message, peers));
      } while (records.length < BATCH && hasMessage(source));
      if (records.length > 0) yield records;
    }
  } finally {
    await source.close();
  }
}

interface Message {
  readonly kind: number;
  readonly body: DataView;
}

function recordOf(source: ByteSource, { kind, body }: Message, peers: PeerHistory): CaptureRecord {
  if ((kind !== KIND_EGRESS && kind !== KIND_INGRESS) || body.byteLength < RECORD_HEADER_BYTES)
    broken(source, `a message of kind ${kind} and ${body.byteLength} bytes`);
  const word = (index: number) => body.getUint32(index * 4, true);
  const lost = {
    all: word(RECORD_LOST),
    forwarded: word(RECORD_LOST_FORWARDED),
    dropped: word(RECORD_LOST_DROPPED),
  };
  return decodeRecord(body, 0, body.byteLength, kind, lost, peers);
}

/** True when a whole message is at hand, so that reading it does not wait. */
function hasMessage(source: ByteSource): boolean {
  if (source.ready < MESSAGE_HEADER) return false;
  return source.ready >= MESSAGE_HEADER + viewOf(source.peek(MESSAGE_HEADER)).getInt32(0, true);
}

async function nextMessage(source: ByteSource): Promise<Message | undefined> {
  if (!(await source.fill(MESSAGE_HEADER))) {
    if (source.ready > 0) broken(source, 'it ends inside a message');
    return undefined;
  }
  const head = viewOf(source.peek(MESSAGE_HEADER));
  const length = head.getInt32(0, true);
  const kind = head.getInt32(4, true);
  if (length < 0 || length > (JSON_KINDS.includes(kind) ? JSON_MAX : RECORD_MAX))
    broken(source, `a message of ${length} bytes`);
  if (!(await source.fill(MESSAGE_HEADER + length))) broken(source, 'it ends inside a message');
  source.take(MESSAGE_HEADER);
  return { kind, body: viewOf(source.take(length)) };
}

function broken(source: ByteSource, problem: string): never {
  throw new RipstopError(
    'EAGENT',
    `the capture stream broke at byte ${source.offset}: ${problem}`,
    'is the agent of the same version?',
  );
}

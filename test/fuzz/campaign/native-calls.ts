import type { Native } from '../../../src/native/native.d.ts';
import type { Choices } from './choices.ts';
import { coalesceSeeds, segmentSeeds } from './native-seeds.ts';

/*
 * Calls of the addon as an input describes them. What a call could do to the rest of the machine, or wait for without an end,
 * is left out: descriptors are those of the caller, waits are short, the caller has a network namespace of its own.
 */

type Functions = Omit<Native, 'constants'>;

/** Descriptors that the caller has opened, none of which blocks a read, and the paths that it may open. */
export interface Targets {
  readonly devices: readonly number[];
  readonly sockets: readonly number[];
  readonly netlink: number;
  readonly event: number;
  /** A new descriptor that the call may close. */
  spare(): number;
  readonly netns: readonly string[];
  readonly files: readonly string[];
}

export interface NativeCall {
  readonly name: keyof Functions;
  readonly args: readonly unknown[];
}

type Make = (choose: Choices, targets: Targets) => unknown;

const EDGES = [0, 1, -1, 4, 8, 14, 20, 60, 64, 127, 128, 129, 1450, 65535, 65536, 2 ** 31 - 1, -(2 ** 31)];
/** Numbers that are no descriptor of this process. */
const NO_DESCRIPTORS = [1 << 20, 2 ** 31 - 1, -1, -(2 ** 31), 2 ** 31, 2 ** 53, 0.5, NaN, -Infinity];

const one =
  (...values: unknown[]): Make =>
  choose =>
    choose.pick(values);
const descriptor =
  (...from: (keyof Pick<Targets, 'devices' | 'sockets' | 'netlink' | 'event'>)[]): Make =>
  (choose, targets) =>
    choose.rarely(0.2) ? choose.pick(NO_DESCRIPTORS) : choose.pick(from.flatMap(kind => targets[kind]));

const anyDescriptor = descriptor('devices', 'sockets', 'netlink', 'event');
/** Reads of these do not block. */
const readable = descriptor('devices', 'event');
const control: Make = (choose, { event }) => choose.pick([-1, event, -2, 2 ** 31]);
const timeout = one(0, 1, -2, 2 ** 31);
const spin = one(0, 50, -1, 1_000_001);
const netns: Make = (choose, targets) => choose.pick(targets.netns);
const file: Make = (choose, targets) => choose.pick(targets.files);
const number = one(1, ...EDGES, 2 ** 32 - 1, 2 ** 32);
const family = one(4, 6, 5, 0);

/** A view of `bytes`: over memory of its own, inside larger memory, shared, growing, out of bounds, or detached. */
function view(choose: Choices, bytes: Uint8Array, kind: typeof Uint8Array | typeof Int32Array): unknown {
  const size = kind.BYTES_PER_ELEMENT;
  const room = Math.ceil(bytes.length / size) * size;
  const filled = <T extends ArrayBufferLike>(memory: T, at = 0): T => {
    new Uint8Array(memory).set(bytes, at);
    return memory;
  };
  const resizable = (): ArrayBuffer & { resize(size: number): void } =>
    Reflect.construct(ArrayBuffer, [room, { maxByteLength: room + 64 }]);
  switch (choose.byte() % 16) {
    case 10:
      return Reflect.construct(kind, [filled(new SharedArrayBuffer(room))]);
    case 11:
      return new kind(filled(new ArrayBuffer(room + 3 * size), size), size, room / size);
    case 12:
      return new kind(filled(resizable()));
    case 13: {
      const memory = filled(resizable());
      const fixed = new kind(memory, 0, room / size);
      memory.resize(choose.pick([room, room + size, 0, room >> 1]));
      return fixed;
    }
    case 14: {
      const memory = filled(new ArrayBuffer(room));
      const detached = new kind(memory);
      structuredClone(memory, { transfer: [memory] });
      return detached;
    }
    case 15:
      return new (kind === Uint8Array ? Int32Array : Uint8Array)(room);
    default:
      return new kind(filled(new ArrayBuffer(room)));
  }
}

const bytes =
  (...sizes: number[]): Make =>
  choose =>
    view(choose, new Uint8Array(choose.pick(sizes)).fill(choose.byte()), Uint8Array);

/** 127.0.0.1, and others of 16 bytes or not. */
const address: Make = choose => {
  const mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1];
  const loopback6 = [...new Uint8Array(15), 1];
  return view(choose, Uint8Array.from(choose.pick([mapped, loopback6, mapped.slice(12), []])), Uint8Array);
};

const words = (choose: Choices, list: readonly number[]): unknown =>
  view(choose, new Uint8Array(Int32Array.from(list).buffer), Int32Array);
const ints =
  (...sizes: number[]): Make =>
  choose =>
    words(choose, new Array<number>(choose.pick(sizes)).fill(choose.byte()));

const HEADROOM = 128;
/** Whole frames, each with the bytes before its IP header, its upper header, and the protocol. */
const FRAMES = segmentSeeds().map(seed => ({
  l3: seed[0]!,
  gso: seed[1]!,
  l4: new DataView(seed.buffer).getUint16(4, true),
  checksum: seed[6]!,
  bytes: seed.subarray(8),
}));
const SMALL = coalesceSeeds().map(seed => seed.subarray(2));

/** A slab that begins, behind the headroom, with a frame. */
const slab: Make = choose => {
  const frame = choose.rarely(0.2) ? choose.pick(SMALL) : choose.pick(FRAMES).bytes;
  const whole = new Uint8Array(choose.pick([HEADROOM + 600, 70_000, HEADROOM + frame.length, 200, 0]));
  whole.set(frame.subarray(0, Math.max(0, whole.length - HEADROOM)), Math.min(HEADROOM, whole.length));
  return view(choose, whole, Uint8Array);
};

/** Descriptors of one to three frames; each field can be a number at an edge instead. */
const table: Make = choose => {
  const descriptors = Array.from({ length: choose.pick([1, 2, 3, 0]) }, () => {
    const { l3, gso, l4, checksum, bytes } = choose.pick(FRAMES);
    const isGso = choose.byte() & 1;
    const fields = [
      ...[HEADROOM, bytes.length, isGso ? (gso << 8) | 1 : 0, isGso ? 100 : 0, l4, checksum],
      ...[1, 0, 0, 0, 0, l3, 0, 0, 0, 0],
    ];
    return fields.map(field => (choose.rarely(0.08) ? choose.pick(EDGES) : field));
  });
  return words(choose, [...descriptors.flat(), ...new Array<number>(choose.pick([0, 1, 15])).fill(1)]);
};

/** A table of peers at 127.0.0.1. */
const peers: Make = choose => {
  const peer = new Int32Array(32);
  peer.set([4, 9, 0, 0, -65536, 0x0100007f, 0, 0, 8, 8]);
  const fields = [...peer].map((field, at) => (at < 16 && choose.rarely(0.05) ? choose.pick(EDGES) : field));
  return words(choose, choose.pick([fields, [...fields, ...fields], fields.slice(1), []]));
};

const sockets: Make = (choose, targets) => {
  const list = choose.pick([
    targets.sockets,
    [...NO_DESCRIPTORS.slice(0, 4)],
    [],
    new Array(129).fill(1 << 20),
  ]);
  return words(choose, list);
};

const commands: Make = choose =>
  view(
    choose,
    Buffer.from(choose.pick(['list ruleset\0', '{"nftables":[]}\0', 'list ruleset', 'a\0b\0', '\0', ''])),
    Uint8Array,
  );

/** A program of BPF that returns 0, and others. */
const program: Make = choose => {
  const whole = Uint8Array.of(0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0);
  whole[choose.byte() % whole.length]! ^= choose.byte();
  return view(
    choose,
    choose.pick([whole, whole.subarray(0, 8), whole.subarray(0, 15), new Uint8Array(0)]),
    Uint8Array,
  );
};

const FUNCTIONS: { readonly [Name in keyof Functions]: readonly Make[] } = {
  bpfMap: [one(8, 4096, 4097, 0, -1)],
  bpfMapRead: [anyDescriptor, bytes(4096, 4095, 0)],
  bpfProgram: [program, one(1, 3, 0, 2, 4, -1)],
  tunOpen: [netns, one('fz%d', '', 'lo', 'x'.repeat(15)), one(0x5001, 0x5002, 0x5102, 0, 65535, 65536)],
  tapCreate: [
    ...[netns, one('fzt', 'lo', 'x'.repeat(15), 'x'.repeat(16)), one(0, 1, 2)],
    ...[one(-1, 0, 65_534, 2 ** 32, -2), one(-1, 0, 65_534, 2 ** 32, -2)],
  ],
  tunFeatures: [],
  tunFlags: [anyDescriptor],
  tunName: [anyDescriptor],
  tunSetOwner: [anyDescriptor],
  tunSetOffload: [anyDescriptor, number],
  tunSetPersist: [anyDescriptor, one(0, 1, 2)],
  tunSetSteering: [anyDescriptor, anyDescriptor],
  tunRead: [readable, bytes(70_000, 140_000, 65_700, 0), table, one(1, 0, 2, 3, -1), spin],
  tunWrite: [
    anyDescriptor,
    slab,
    table,
    one(1, 2, 3, 0, -1),
    one(3, 0, 7, 8),
    number,
    number,
    ints(4, 5, 3, 0),
  ],
  udpOpen: [netns, address, one(0, 53, 65_535, 65_536), one(0, 1, 3, 4, 7, 8), one(4096, 1, 2 ** 30, 0)],
  udpProbe: [anyDescriptor, one(103, 104, 105)],
  udpPort: [anyDescriptor],
  udpMemory: [anyDescriptor, ints(9, 8, 0)],
  udpIgnorePathMtu: [anyDescriptor, one(4, 6, 5, 0)],
  udpReportTimes: [anyDescriptor],
  udpReportHeaders: [anyDescriptor, one(4, 6, 5, 0), one(0, 1, 2)],
  udpPathMtu: [netns, address],
  udpReceive: [
    ...[anyDescriptor, bytes(70_000, 140_000, 65_664, 65_663, 0), table, ints(10, 20, 9, 0)],
    ...[one(1, 2, 64, 65, 0), spin, one(0, 8, 128, 129)],
  ],
  udpSend: [sockets, slab, table, one(1, 2, 3, 0, -1), peers, one(64, 1, 128, 129), ints(4, 3)],
  rawOpen: [netns, family],
  rawSend: [anyDescriptor, address, bytes(8, 0, 1400, 70_000)],
  echoOpen: [netns, family, number],
  echoReceive: [anyDescriptor, bytes(64, 1, 0, 1500), ints(1, 0, 2)],
  waitReadable: [anyDescriptor, control, control, spin, timeout],
  busyPoll: [one(0, 1, 2), spin],
  eventOpen: [],
  wallClock: [],
  clockError: [],
  eventSignal: [descriptor('devices', 'event')],
  eventClear: [readable],
  threadPolicy: [one(0, 2 ** 31 - 1, -1), one(0, 3, -1, 6)],
  netlinkOpen: [netns, one(0, 12, 31, 32), number],
  netlinkSend: [descriptor('netlink', 'event'), bytes(20, 0, 16, 3, 200)],
  netlinkReceive: [anyDescriptor, bytes(8192, 1, 0), timeout],
  fileOpen: [netns, file, one(0, 1, 2, 0o101, 0o200000, 2 ** 31 - 1)],
  fileLock: [anyDescriptor, one(4 | 2, 4 | 1, 8, 0, 16)],
  closeFd: [(choose, targets) => (choose.rarely(0.4) ? choose.pick(NO_DESCRIPTORS) : targets.spare())],
  nftRun: [netns, commands, one(0, 1, 2, 3)],
  packetOpen: [netns, one(1, 2, 2 ** 31 - 1, 0)],
  packetSend: [descriptor('sockets'), one(1, 2, 0), bytes(6, 5, 0), bytes(20, 0, 1600, 70_000)],
  packetReceive: [anyDescriptor, bytes(64, 0, 1)],
  frameOpen: [netns, one(1, 2, 2 ** 31 - 1, 0), one(4096, 1, 2 ** 30, 0)],
  captureOpen: [netns, one(1, 2, 2 ** 31 - 1, 0), one(0, 1, 64, 2 ** 31 - 1, -1), one(4096, 1, 2 ** 30, 0)],
  captureRead: [
    anyDescriptor,
    bytes(2048, 140_000, 64, 17, 0),
    one(64, 18, 2048, 17, 0, -1),
    ints(10, 40, 9, 0),
  ],
  captureStop: [anyDescriptor],
  captureFilter: [anyDescriptor, bytes(0, 7, 8, 16, 32768, 32776)],
  captureStatistics: [anyDescriptor, ints(2, 1, 3, 0)],
};

/** Names in the order of the first byte of an input. */
export const NATIVE_FUNCTIONS = Object.keys(FUNCTIONS).sort() as (keyof Functions)[];

/** Values that no argument may have, whatever its type. */
const ODD: readonly Make[] = [
  one(undefined, null, true, 1n, '', 'text', 'a\0b', '\ud800', 'x'.repeat(5000), Symbol('odd')),
  one(2 ** 31, 2 ** 32, 2 ** 53, 1e308, -1e308, -(2 ** 31) - 1, 0.5, NaN, Infinity, -Infinity),
  () => ({
    valueOf() {
      throw new RangeError('called');
    },
  }),
  () => new Proxy(new Uint8Array(16), {}),
  () => [1, 2, 3],
  () => new ArrayBuffer(16),
  () => new DataView(new ArrayBuffer(16)),
  () => new Float64Array(16),
  () => new BigInt64Array(16),
  () => new Uint8ClampedArray(16),
  () => Object.create(Uint8Array.prototype),
  () => () => 0,
];

/** The call of an input: its first byte says which function, the others its arguments. */
export function nativeCall(choose: Choices, targets: Targets): NativeCall {
  const name = choose.pick(NATIVE_FUNCTIONS);
  const args: unknown[] = FUNCTIONS[name].map(make =>
    choose.rarely(0.06) ? choose.pick(ODD)(choose, targets) : make(choose, targets),
  );
  if (choose.rarely(0.05)) args.length = choose.byte() % (args.length + 1);
  if (choose.rarely(0.05)) args.push(...new Array(choose.byte() % 20).fill(0));
  return { name, args };
}

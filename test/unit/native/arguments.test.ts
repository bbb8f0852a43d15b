import { closeSync, fstatSync, openSync, readdirSync } from 'node:fs';
import t from 'tap';
import { native } from '../../../src/native/load.ts';

/*
 * A native call with a wrong argument throws and does nothing. Each function is called with one argument after the other
 * missing, of a wrong type, NaN, a fraction and out of range, while the others are right. A call that went on would close,
 * open, lock or write to one of this process's descriptors.
 */

interface Valid {
  readonly value: unknown;
  /** Values that the function must refuse, besides those that no argument of this type may have. */
  readonly wrong: readonly unknown[];
}

/** The descriptor that a function gets as its right argument: whatever it did to it would be seen. */
const own = openSync('/dev/null', 'r+');
t.teardown(() => closeSync(own));

const NUMBERS = [undefined, null, '1', {}, 1n, true, NaN, 0.5, Infinity, -Infinity, 2 ** 32, -(2 ** 31) - 1];
const number = (value: number, ...wrong: number[]): Valid => ({ value, wrong: [...NUMBERS, ...wrong] });
const fd: Valid = number(own, -1, 2 ** 31);
const control: Valid = number(-1, -2, 2 ** 31);
const timeout: Valid = number(0, -2, 2 ** 31);
const spin: Valid = number(0, -1, 1_000_001);
const text = (value: string, ...wrong: string[]): Valid => ({
  value,
  wrong: [undefined, null, 1, {}, Buffer.from(value), 'a\0b', 'x'.repeat(4096), ...wrong],
});
const path = text('/nowhere');
const bytes = (size: number, ...wrong: unknown[]): Valid => ({
  value: new Uint8Array(size),
  wrong: [
    undefined,
    null,
    1,
    'text',
    [0],
    new ArrayBuffer(size),
    new Int8Array(size),
    new Int32Array(size),
    ...wrong,
  ],
});
const ints = (size: number, ...wrong: unknown[]): Valid => ({
  value: new Int32Array(size),
  wrong: [undefined, null, 1, [0], new Uint8Array(size), new Uint32Array(size), ...wrong],
});
const address = bytes(16, new Uint8Array(4), new Uint8Array(17));
const stats = ints(4, new Int32Array(3));

const FUNCTIONS: Record<string, readonly Valid[]> = {
  tunOpen: [path, text('t0', 'sixteen-bytes-xx'), number(1, -1, 65_536)],
  tapCreate: [path, text('t0', 'sixteen-bytes-xx'), number(0, -1, 2), number(-1, -2), number(-1, -2)],
  tunFeatures: [],
  tunFlags: [fd],
  tunName: [fd],
  tunSetOwner: [fd],
  tunSetOffload: [fd, number(0, -1)],
  tunSetPersist: [fd, number(0, -1, 2)],
  tunSetSteering: [fd, control],
  tunRead: [fd, bytes(70_000), ints(16), number(1, -1, 2), spin],
  tunWrite: [
    fd,
    bytes(100),
    ints(16),
    number(1, -1, 2),
    number(0, -1, 8),
    number(1450, 67, 65_536),
    number(1450, 67, 65_536),
    stats,
  ],
  udpOpen: [path, address, number(1, -1, 65_536), number(0, -1, 16), number(1, 0, -1, 2 ** 30)],
  udpProbe: [fd, number(103, 102, 105)],
  udpPort: [fd],
  udpMemory: [fd, ints(9, new Int32Array(8))],
  udpIgnorePathMtu: [fd, number(4, 3, 5, 7)],
  udpReportTimes: [fd],
  udpReportHeaders: [fd, number(4, 3, 5, 7), number(1, -1, 2)],
  udpPathMtu: [path, address],
  udpReceive: [
    fd,
    bytes(70_000, new Uint8Array(65_536)),
    ints(16),
    ints(10, new Int32Array(9)),
    number(1, 0, -1, 65),
    spin,
    number(8, -1, 129),
  ],
  udpSend: [
    ints(1, new Int32Array(0), new Int32Array(129)),
    bytes(100),
    ints(16),
    number(1, -1, 2),
    ints(32),
    number(1, 0, -1, 129),
    stats,
  ],
  rawOpen: [path, number(4, 3, 5, 7)],
  rawSend: [fd, address, bytes(8)],
  echoOpen: [path, number(4, 3, 5, 7), number(7, -1, 65536)],
  echoReceive: [fd, bytes(8), ints(1, new Int32Array(0), new Int32Array(2))],
  waitReadable: [control, control, control, spin, timeout],
  busyPoll: [number(1, -1, 2), spin],
  eventOpen: [],
  eventSignal: [fd],
  eventClear: [fd],
  wallClock: [],
  clockError: [],
  threadPolicy: [number(0, -1), number(3, -1, 6)],
  netlinkOpen: [path, number(0, -1, 32), number(0, -1)],
  netlinkSend: [fd, bytes(4)],
  netlinkReceive: [fd, bytes(4), timeout],
  fileOpen: [path, path, number(0, -1)],
  fileLock: [fd, number(1, 0, -1, 16)],
  closeFd: [fd],
  bpfMap: [number(8, -1, 4097)],
  bpfMapRead: [fd, bytes(4096, new Uint8Array(4095))],
  bpfProgram: [bytes(8, new Uint8Array(0), new Uint8Array(9)), number(1, 0, 2, 4)],
  nftRun: [
    path,
    { ...bytes(1), wrong: [...bytes(1).wrong, Buffer.from('a'), Buffer.from('\0\0')] },
    number(0, -1, 3),
  ],
  packetOpen: [path, number(1, 0, -1)],
  packetSend: [fd, number(1, 0, -1), bytes(6, new Uint8Array(5)), bytes(4)],
  packetReceive: [fd, bytes(4)],
  frameOpen: [path, number(1, 0, -1), number(1, 0, -1, 2 ** 30)],
  captureOpen: [path, number(1, 0, -1), number(0, -1), number(1, 0, -1, 2 ** 30)],
  captureRead: [fd, bytes(100, new Uint8Array(17)), number(100, 0, -1, 17, 101), ints(10, new Int32Array(9))],
  captureStop: [fd],
  captureFilter: [fd, bytes(8, new Uint8Array(0), new Uint8Array(7), new Uint8Array(4097 * 8))],
  captureStatistics: [fd, ints(2, new Int32Array(1), new Int32Array(3))],
};

const descriptors = () => readdirSync('/proc/self/fd').sort().join(' ');

t.test('every exported function has its row here', t => {
  const exported = Object.entries(native).filter(([, value]) => typeof value === 'function');
  t.same(exported.map(([name]) => name).sort(), Object.keys(FUNCTIONS).sort());
  t.end();
});

for (const [name, valid] of Object.entries(FUNCTIONS)) {
  if (valid.length === 0) continue;
  t.test(`${name} refuses wrong arguments`, t => {
    const call = (native as unknown as Record<string, (...args: unknown[]) => unknown>)[name];
    if (call === undefined) throw new Error(`no function ${name}`);
    const before = descriptors();
    const refuses = (args: unknown[], what: string) => {
      try {
        const result = call(...args);
        t.fail(`${what} was accepted: ${String(result)}`);
      } catch (error) {
        const { code, message } = error as { code?: string; message: string };
        if (code !== 'ERR_INVALID_ARG_TYPE' && code !== 'ERR_OUT_OF_RANGE') t.fail(`${what}: ${message}`);
        else if (!message.startsWith(`native ${name}: argument `)) t.fail(`${what}: ${message}`);
      }
    };
    refuses([], 'no argument');
    for (const [i, { wrong }] of valid.entries()) {
      const values = valid.map(each => each.value);
      refuses(values.slice(0, i), `without argument ${i + 1}`);
      for (const value of wrong) refuses(values.with(i, value), `argument ${i + 1} as ${describe(value)}`);
    }
    t.equal(descriptors(), before, 'no descriptor was opened or closed');
    for (const standard of [0, 1, 2, own]) t.doesNotThrow(() => fstatSync(standard));
    t.end();
  });
}

function describe(value: unknown): string {
  if (ArrayBuffer.isView(value)) return `${value.constructor.name}(${value.byteLength} bytes)`;
  return `${typeof value} ${String(value).slice(0, 20)}`;
}

import { mkdtempSync, openSync, readdirSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { native } from '../../../src/native/load.ts';
import { Choices } from './choices.ts';
import { nativeCall, type Targets } from './native-calls.ts';

/*
 * A process that makes the calls of test/fuzz/native-calls.test.ts: one input per message, answered with what became of it. A
 * call that crashes ends this process only; the log has the call that it did not return from.
 */

const LOOPBACK = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1);
const folder = mkdtempSync(join(tmpdir(), 'ripstop-calls-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
process.once('disconnect', () => process.exit());
const file = join(folder, 'file');
writeFileSync(file, 'a file');

const [TUN, TAP, NO_HEADER_WITH_VNET] = [1, 2, 0x5000];
const targets: Targets = {
  devices: [
    native.tunOpen('', 'calls%d', TAP | NO_HEADER_WITH_VNET),
    native.tunOpen('', 'calls%d', TUN | NO_HEADER_WITH_VNET),
    openSync(file, 'r+'),
    openSync('/dev/null', 'r+'),
    openSync(folder, 'r'),
  ],
  sockets: [
    native.udpOpen('', LOOPBACK, 0, 0, 1 << 16),
    native.rawOpen('', 4),
    native.echoOpen('', 4, 7),
    native.packetOpen('', 1),
    native.captureOpen('', 1, 64, 1 << 16),
  ],
  netlink: native.netlinkOpen('', 0, 0),
  event: native.eventOpen(),
  spare: () => openSync('/dev/null', 'r'),
  netns: ['', '/proc/thread-self/ns/net', '/nowhere', '/proc/self/ns/mnt', file, 'x'.repeat(4095)],
  files: [file, folder, '/dev/null', '/proc/self/status', '', '/nowhere', 'x'.repeat(4096)],
};

const descriptors = (): string[] => readdirSync('/proc/self/fd');
/** Open functions of the addon return a descriptor that their caller closes. */
const OPENS = /^(?:(?:tun|udp|raw|echo|netlink|packet|frame|capture|file|event)Open|bpfMap|bpfProgram)$/;

function isErrorWithCode(error: unknown): boolean {
  return error instanceof Error && typeof (error as { code?: unknown }).code === 'string';
}

/** @returns true when the call returned, false when it threw an error as the addon promises. @throws for all else */
function make(bytes: Uint8Array): boolean {
  const before = descriptors().length;
  const { name, args } = nativeCall(new Choices(bytes), targets);
  const spare = descriptors().length - before;
  writeSync(2, `${name}\n`);
  let isReturned = true;
  try {
    const result = Reflect.apply(native[name], native, args);
    if (OPENS.test(name)) native.closeFd(result as number);
    else if (typeof result === 'number' && !Number.isInteger(result) && name !== 'wallClock')
      throw new Error(`returns ${result}`);
  } catch (error) {
    if (!isErrorWithCode(error)) throw error;
    isReturned = false;
  }
  const isClosed = name === 'closeFd' && isReturned ? spare : 0;
  const left = descriptors().length - before - spare + isClosed;
  // The contexts of nft are kept, each with a socket.
  if (left !== 0 && name !== 'nftRun') throw new Error(`${name} left ${left} descriptors`);
  return isReturned;
}

process.on('message', (input: Uint8Array) => {
  try {
    process.send?.({ isReturned: make(input) });
  } catch (error) {
    process.send?.({ fault: (error as Error)?.stack ?? String(error) });
  }
});
process.send?.({ isReady: true });

import t from 'tap';
import { native } from '../../../src/native/load.ts';
import {
  MessageWriter,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
} from '../../../src/net/rtnetlink/message.ts';
import { NetlinkSocket } from '../../../src/net/rtnetlink/socket.ts';

/* The socket against a kernel that is played: what happens seldom is made to happen. */

const ENOBUFS = 105;
const EINTR = 4;
const LINK = 16;

/** A datagram of the kernel, written when the request's sequence number is known; or a negative errno, or 0: a timeout. */
type Answer = ((sequence: number) => Uint8Array) | number;

const message =
  (type: number, payload: number[], flags = 2) =>
  (sequence: number) =>
    new MessageWriter(type, flags, '').bytes(Uint8Array.from(payload)).finish(sequence);
const done = message(NLMSG_DONE, [0, 0, 0, 0]);
const joined =
  (...parts: ((sequence: number) => Uint8Array)[]) =>
  (sequence: number) =>
    Uint8Array.from(parts.flatMap(part => [...part(sequence)]));

/** Plays `answers` in their order to a socket; tells how often it asked. */
function played(owner: { teardown(undo: () => void): void }, answers: readonly Answer[]) {
  const kept = { ...native };
  owner.teardown(() => Object.assign(native, kept));
  const queue = [...answers];
  let sequence = 0;
  const asked: Uint8Array[] = [];
  Object.assign(native, {
    netlinkOpen: () => 99,
    closeFd: () => 0,
    netlinkSend: (_fd: number, bytes: Uint8Array) => {
      asked.push(bytes.slice());
      sequence = new DataView(bytes.buffer, bytes.byteOffset).getUint32(8, true);
      return bytes.length;
    },
    netlinkReceive: (_fd: number, buffer: Uint8Array) => {
      const answer = queue.shift();
      if (answer === undefined) throw new Error('asked for more than was played');
      if (typeof answer === 'number') return answer;
      const bytes = answer(sequence);
      buffer.set(bytes);
      return bytes.length;
    },
  });
  return { socket: new NetlinkSocket(), asked, left: queue };
}

const request = () => new MessageWriter(18, 0, 'list links').u32(0);

t.test('a table that changed while it was read is read again, whole', async t => {
  const torn = joined(message(LINK, [1, 1, 1, 1]), message(LINK, [2, 2, 2, 2], 2 | NLM_F_DUMP_INTR), done);
  const tornAtTheEnd = joined(
    message(LINK, [1, 1, 1, 1]),
    message(NLMSG_DONE, [0, 0, 0, 0], 2 | NLM_F_DUMP_INTR),
  );
  const { socket, asked } = played(t, [
    torn,
    tornAtTheEnd,
    message(LINK, [3, 3, 3, 3]),
    joined(message(LINK, [4, 4, 4, 4]), done),
  ]);
  const messages = socket.dump(request());
  t.same(
    messages.map(({ payload }) => payload[0]),
    [3, 4],
    'nothing of the torn ones',
  );
  t.equal(asked.length, 3);
  t.not(asked[0]![8], asked[1]![8], 'under a new sequence number');
});

t.test('a table that never stands still ends in an error', async t => {
  const torn = joined(message(LINK, [1, 1, 1, 1], 2 | NLM_F_DUMP_INTR), done);
  const { socket } = played(
    t,
    Array.from({ length: 20 }, () => torn),
  );
  t.throws(() => socket.dump(request()), { code: 'EINTR', message: /list links: the table changed/ });
});

t.test('answers to a request that was given up are passed over', async t => {
  const stale = () => new MessageWriter(LINK, 2, '').u32(7).finish(424242);
  const { socket } = played(t, [stale, message(LINK, [5, 5, 5, 5]), stale, done]);
  t.equal(socket.dump(request()).length, 1);
});

t.test('a signal, a silence, a failure in the middle', async t => {
  const { socket } = played(t, [
    -EINTR,
    joined(message(LINK, [1, 1, 1, 1]), done),
    message(LINK, [1, 1, 1, 1]),
    0,
    message(LINK, [1, 1, 1, 1]),
    message(NLMSG_DONE, [0xea, 0xff, 0xff, 0xff]),
    message(NLMSG_ERROR, [0xff, 0xff, 0xff, 0xff, ...new Array(16).fill(0)]),
  ]);
  t.equal(socket.dump(request()).length, 1, 'a signal does not end the dump');
  t.throws(() => socket.dump(request()), { code: 'ETIMEDOUT', message: /list links: no answer/ });
  t.throws(() => socket.dump(request()), { code: 'EINVAL' }, 'a dump that ends in an error');
  t.throws(() => socket.request(request()), { code: 'EPERM', message: /CAP_NET_ADMIN is missing/ });
});

t.test('lost events', async t => {
  const { socket } = played(t, [-ENOBUFS, message(LINK, [1, 1, 1, 1]), 0]);
  t.throws(() => socket.receive(0), { code: 'ENOBUFS', message: /dropped messages/ });
  t.equal(socket.receive(0).length, 1, 'the next ones come');
  t.same(socket.receive(0), []);
  socket.close();
  socket.close();
  t.equal(socket.fd, -1, 'closed once');
});

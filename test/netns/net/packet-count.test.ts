import t from 'tap';
import { requireAddress } from '../../../src/ip/address.ts';
import { attachClassifier, detachClassifier } from '../../../src/net/bpf/classifier.ts';
import { PacketCounter } from '../../../src/net/bpf/packet-count.ts';
import { findLink } from '../../../src/net/rtnetlink/links.ts';
import { withSocket } from '../../../src/net/rtnetlink/socket.ts';
import { namespaceFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'ip', 'tc');

/** Sends datagrams of `bytes` to each of these ends. */
const sender = (ends: readonly [string, number][], bytes: number) => `
  const dgram = require('node:dgram');
  for (const [address, port] of ${JSON.stringify(ends)}) {
    const socket = dgram.createSocket('udp' + (address.includes(':') ? 6 : 4));
    socket.send(Buffer.alloc(${bytes}), port, address, () => socket.close());
  }`;

t.test('programs at two hooks, count what matches and nothing else', { skip }, async t => {
  const ns = namespaceFor(t);
  ns.ip('addr add 192.0.2.1/32 dev lo', 'link set lo mtu 1500');
  withSocket(ns.path, socket => {
    const { index: link = 0 } = findLink(socket, 'lo') ?? {};
    const ends = ['127.0.0.1', '192.0.2.1', '::1'].map(address => ({
      address: requireAddress(address),
      port: 8472,
    }));
    const counters = [undefined, ...ends].map(end => new PacketCounter(end));
    t.teardown(() => {
      for (const counter of counters) counter.close();
    });
    const [all, ...each] = counters as [PacketCounter, ...PacketCounter[]];
    const places = [
      { link, hook: 'egress', slot: 0 } as const,
      ...each.map((_, slot) => ({ link, hook: 'ingress', slot }) as const),
    ];
    for (const [at, place] of places.entries()) attachClassifier(socket, place, counters[at]!.program);
    const to = (address: string, port: number, times: number) =>
      Array.from({ length: times }, (): [string, number] => [address, port]);
    const sent = [
      ...to('127.0.0.1', 8472, 3),
      ...to('127.0.0.1', 8473, 2),
      ...to('192.0.2.1', 8472, 4),
      ...to('::1', 8472, 5),
      ...to('::1', 1, 1),
    ];
    ns.must([process.execPath, '-e', sender(sent, 10)]);
    t.strictSame(
      each.map(counter => counter.read()),
      [3, 4, 5].map(count => ({ packets: count, segments: count })),
      'by address, port and family',
    );
    t.ok(all.read().packets >= sent.length, 'a program without an end counts everything');

    ns.must([process.execPath, '-e', sender(to('127.0.0.1', 8472, 1), 4000)]);
    t.equal(each[0]!.read().packets, 4, 'of the fragments of a datagram the first one counts');

    for (const place of places) {
      t.match(ns.must(['tc', 'qdisc', 'show', 'dev', 'lo']), /clsact/, 'stays while a program is there');
      detachClassifier(socket, place);
    }
    t.notMatch(ns.must(['tc', 'qdisc', 'show', 'dev', 'lo']), /clsact/, 'goes with the last program');
    t.doesNotThrow(() => detachClassifier(socket, places[0]!), 'a second time changes nothing');
  });
});

t.test('clsact with a filter of another program, both stay', { skip }, async t => {
  const ns = namespaceFor(t);
  ns.must(['tc', 'qdisc', 'add', 'dev', 'lo', 'clsact']);
  ns.must(
    'tc filter add dev lo egress prio 1 u32 match u32 0 0 action mirred egress redirect dev lo'.split(' '),
  );
  withSocket(ns.path, socket => {
    const { index: link = 0 } = findLink(socket, 'lo') ?? {};
    const counter = new PacketCounter();
    t.teardown(() => counter.close());
    const place = { link, hook: 'ingress', slot: 0 } as const;
    attachClassifier(socket, place, counter.program);
    detachClassifier(socket, place);
  });
  t.match(ns.must(['tc', 'filter', 'show', 'dev', 'lo', 'egress']), /u32/);
});

import t from 'tap';
import { parseProgram, runProgram } from '../../src/capture/filter/bpf.ts';
import { encodeContext, RecordQueue, readRecordStream } from '../../src/capture/live/record-stream.ts';
import { decodeMessage, encodeMessage, OPTION } from '../../src/cni/ipam/dhcp/message.ts';
import {
  classlessRoutes,
  leaseResult,
  leaseTimes,
  searchDomains,
} from '../../src/cni/ipam/dhcp/reply-options.ts';
import { decodeMessage as decodeDbus, encodeCall, messageLength } from '../../src/net/dbus/message.ts';
import { rulesOfChain } from '../../src/net/iptables.ts';
import { splitRule } from '../../src/net/iptables-words.ts';
import { ethernet, ip, joined, tcp, V4 } from '../unit/capture/fixtures/frames.ts';
import { CONTEXT, worker } from '../unit/capture/fixtures/tapped.ts';
import { bytesOf, campaign, refusing, textOf } from './campaign/campaign.ts';
import { alterText } from './campaign/mutate-text.ts';

/* Answers of other programs (tcpdump, iptables, firewalld, a DHCP server, the agent), with what strangers put into them. */

t.test('filters as tcpdump compiles them: refused, or ended on any packet', async t => {
  const packet = Uint8Array.from({ length: 120 }, (_, i) => i * 7);
  await campaign(t, {
    name: 'bpf',
    seeds: [
      '4\n40 0 0 12\n21 0 1 2048\n6 0 0 262144\n6 0 0 0\n',
      '8\n40 0 0 12\n21 0 5 2048\n48 0 0 23\n21 0 3 17\n177 0 0 14\n72 0 0 16\n6 0 0 65535\n6 0 0 0\n',
      '3\n0 0 0 7\n52 0 0 3\n22 0 0 0\n',
    ].map(bytesOf),
    alter: alterText,
    parse: bytes =>
      refusing(() => {
        const program = parseProgram(textOf(bytes));
        for (const length of [0, 1, 33, 120]) {
          const kept = runProgram(program, packet.subarray(0, length), length);
          if (!Number.isInteger(kept) || kept < 0) throw new Error(`keeps ${kept} bytes`);
        }
      }, 'EFILTER'),
  });
});

t.test('rules of iptables-save', async t => {
  await campaign(t, {
    name: 'iptables-save',
    seeds: [
      bytesOf('*nat\n:A - [0:0]\n-A A -s 10.1.0.0/16 -m comment --comment "a \\"b\\" c" -j RETURN\nCOMMIT\n'),
      bytesOf("-A A -m comment --comment 'x' -j KUBE-MARK\n"),
    ],
    alter: alterText,
    parse: bytes => {
      const rules = rulesOfChain(textOf(bytes), 'A');
      for (const rule of rules) if (splitRule(rule)[0] !== '-A') throw new Error(rule);
      splitRule(textOf(bytes));
      return rules.length > 0;
    },
  });
});

t.test('answers of a DHCP server', async t => {
  const option = (code: number, ...bytes: number[]) => [code, Uint8Array.from(bytes)] as const;
  const message = encodeMessage(
    {
      ...{ type: 2, xid: 7, seconds: 0, broadcast: false, clientIp: '0.0.0.0', yourIp: '10.1.0.7' },
      mac: Uint8Array.of(10, 0, 0, 0, 0, 1),
      options: new Map([
        option(OPTION.MESSAGE_TYPE, 2),
        option(1, 255, 255, 255, 0),
        option(3, 10, 1, 0, 1),
        option(6, 10, 1, 0, 10),
        option(51, 0, 0, 14, 16),
        option(58, 0, 0, 7, 8),
        option(121, 24, 10, 2, 0, 10, 1, 0, 1),
        option(119, 1, 97, 1, 98, 0, 0xc0, 0),
      ]),
    },
    '10.1.0.1',
    '255.255.255.255',
  );
  // As a server sends it: ports exchanged, an answer.
  message.set([0, 67, 0, 68], 20);
  message[28] = 2;
  await campaign(t, {
    name: 'dhcp',
    seeds: [message],
    parse: bytes => {
      const answer = decodeMessage(bytes);
      if (!answer) return false;
      leaseTimes(answer.options);
      for (const value of [undefined, ...answer.options.values()]) {
        classlessRoutes(value);
        searchDomains(value);
      }
      return refusing(
        () => leaseResult(answer.yourIp, answer.options, 0),
        2,
        7,
        11,
        100,
        999,
        'ECONFIG',
        'EBADMSG',
      );
    },
  });
});

t.test('the stream of a capture', async t => {
  const one = worker('egress');
  one.want({ points: 31, snapLength: 0 });
  const frame = ethernet(
    ip(V4, 6, tcp({ from: 40000, to: 80, sequence: 1, flags: 2 }, new Uint8Array(0), V4)),
  );
  one.pass([{ frame }, { frame, segments: 3, offload: [1, 0x81, 1398, 34, 16] }], 5);
  const queue = new RecordQueue();
  one.reader.visit(queue.add);
  const context = encodeContext(CONTEXT);
  await campaign(t, {
    name: 'record-stream',
    seeds: [context, joined(context, queue.take())],
    async parse(bytes) {
      async function* chunks() {
        yield bytes.subarray(0, bytes.length >> 1);
        yield bytes.subarray(bytes.length >> 1);
      }
      try {
        const { batches } = await readRecordStream(chunks());
        for await (const records of batches()) if (records.length === 0) throw new Error('an empty batch');
        return true;
      } catch (error) {
        if ((error as { code?: string }).code === 'EAGENT') return false;
        throw error;
      }
    },
  });
});

const CALL = {
  destination: 'org.fedoraproject.FirewallD1',
  path: '/org/fedoraproject/FirewallD1',
  interface: 'org.fedoraproject.FirewallD1.zone',
  member: 'addSource',
};

t.test('damaged messages of D-Bus: read, or refused with a RangeError', t =>
  campaign(t, {
    name: 'dbus',
    seeds: [encodeCall(1, CALL, ['trusted', '10.0.0.1/32']), encodeCall(2, CALL, [])],
    parse(bytes) {
      const buffer = Buffer.from(bytes);
      const length = messageLength(buffer);
      if (length === undefined || length > buffer.length) return false;
      try {
        decodeDbus(buffer.subarray(0, length));
        return true;
      } catch (error) {
        if (error instanceof RangeError) return false;
        throw error;
      }
    },
  }),
);

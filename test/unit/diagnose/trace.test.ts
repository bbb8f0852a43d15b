import t from 'tap';
import type { RuleSet } from '../../../src/agent/rules/model.ts';
import { nftScript } from '../../../src/agent/rules/nftables.ts';
import { describePacket } from '../../../src/capture/decode/text.ts';
import { requestOf, showTrace } from '../../../src/cli/commands/packets/trace-run.ts';
import type { TraceAnswer } from '../../../src/diagnose/trace/answer.ts';
import { masqueraded } from '../../../src/diagnose/trace/masquerade.ts';
import { buildPacket, frameOf } from '../../../src/diagnose/trace/packet.ts';

const RULES: RuleSet = {
  families: [
    { family: 4, cluster: '10.244.0.0/16', pods: '10.244.1.0/24', underlay: '192.0.2.1' },
    { family: 6, cluster: 'fd00:1::/48', pods: 'fd00:1:0:1::/64', underlay: undefined },
  ],
  ...{ masquerade: true, fullyRandom: false, forward: true, tunnelPort: 8472, guard: undefined },
};

/** The rules as nft has them, read line by line: the slow obvious way to the same answer. */
function byScript(source: string, destination: string): boolean {
  const word = source.includes(':') ? 'ip6' : 'ip';
  const bits = (address: string, length: number) => {
    const bytes = buildPacket({ source: address, destination: address, ...UDP }).bytes;
    const at = word === 'ip6' ? 8 : 12;
    const size = word === 'ip6' ? 16 : 4;
    return [...bytes.subarray(at, at + size)]
      .map(byte => byte.toString(2).padStart(8, '0'))
      .join('')
      .slice(0, length);
  };
  const matches = (not: string | undefined, network: string, address: string) => {
    const [base, length] = network.split('/') as [string, string];
    return (bits(base, Number(length)) === bits(address, Number(length))) !== (not !== undefined);
  };
  for (const line of nftScript(RULES, 'ripstop').split('\n')) {
    const rule = new RegExp(`^ +${word} saddr (!= )?(\\S+) ${word} daddr (!= )?(\\S+) (.*)`).exec(line);
    if (!rule) continue;
    const [, notFrom, from, notTo, to, action] = rule;
    if (!matches(notFrom, from!, source) || !matches(notTo, to!, destination)) continue;
    return !action!.startsWith('return');
  }
  return false;
}
const UDP = { protocol: 'udp', sourcePort: 1, destinationPort: 2, size: 100 } as const;

t.test('masquerade is foretold as the rules have it', async t => {
  const four = ['10.244.1.9', '10.244.2.9', '192.0.2.7', '224.0.0.251', '198.51.100.1'];
  const six = ['fd00:1:0:1::9', 'fd00:1:0:2::9', '2001:db8::7', 'ff02::1'];
  let applied = 0;
  for (const addresses of [four, six])
    for (const source of addresses)
      for (const destination of addresses) {
        const { applies, why } = masqueraded(RULES, source, destination);
        t.equal(applies, byScript(source, destination), `${source} > ${destination}: ${why}`);
        if (applies) applied++;
      }
  t.ok(applied > 8);
  t.match(masqueraded({ ...RULES, masquerade: false }, four[0]!, four[4]!), {
    applies: false,
    why: /--ip-masq/,
  });
  t.match(masqueraded({ ...RULES, families: [] }, four[0]!, four[4]!), { applies: false, why: /no IPv4/ });
});

t.test('the packet that is traced', async t => {
  const say = (source: string, destination: string, more: object) => {
    const packet = buildPacket({ source, destination, ...UDP, ...more });
    return describePacket(packet.bytes, 'ip');
  };
  const [a, b] = ['10.244.1.2', '10.244.2.2'];
  t.match(
    say(a, b, { protocol: 'tcp', size: 40 }),
    /^10.244.1.2.1 > 10.244.2.2.2: TCP Flags \[S\], .*length 0$/,
  );
  t.match(say(a, b, { protocol: 'tcp', size: 1450 }), /Flags \[\.\], .*length 1410$/);
  t.match(say('fd00::1', 'fd00::2', {}), /^fd00::1.1 > fd00::2.2: UDP, length 52$/);
  t.match(say('fd00::1', 'fd00::2', { protocol: 'icmp' }), /ICMPv6, length 60$/);
  t.throws(() => say(a, b, { size: 27 }), { code: 'ECONFIG', hint: 'it has 28..65535 bytes' });
  const packet = buildPacket({ source: a, destination: b, ...UDP });
  t.equal(packet.sentOn('10.244.9.9', true).source, '10.244.9.9');
  const frame = frameOf(packet, '02:00:00:00:00:01', '02:00:00:00:00:02');
  t.match(describePacket(frame, 'ethernet'), /UDP, length 72/);
  t.strictSame([...frame.subarray(0, 14)], [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
});

t.test('what was asked for, and how it is shown', async t => {
  const common = { src: '10.244.1.2', dst: '10.244.2.2', socket: '' };
  t.match(requestOf(common), { protocol: 'icmp', sourcePort: 0, destinationPort: 0, size: 84 });
  t.match(requestOf({ ...common, dport: 443 }), {
    protocol: 'tcp',
    sourcePort: 40000,
    destinationPort: 443,
    size: 40,
  });
  t.match(requestOf({ ...common, src: 'fd00::1', dst: 'fd00::2', proto: 'tcp' }), { size: 60 });
  t.match(
    requestOf({ ...common, src: 'FD00:10:244:1:0:0:0:2', dst: 'fd00:10:244:2::0002' }),
    { source: 'fd00:10:244:1::2', destination: 'fd00:10:244:2::2' },
    'as --live compares them with packets',
  );
  const answer: TraceAnswer = {
    ...{
      node: 'node1',
      packet: 'fd00:10:244:1::2.40000 > fd00:10:244:2::2.80: '.repeat(3),
      ingressPeer: null,
    },
    steps: [
      { step: 'source', ok: true, certain: true, text: 'short' },
      { step: 'route', ok: false, certain: true, text: 'a long text of many words '.repeat(8).trim() },
    ],
    ...{
      outcome: 'dropped',
      verdict: 'lost: for a reason',
      remedy: 'repair it '.repeat(30).trim(),
      departure: null,
    },
  };
  const text = showTrace([answer]);
  t.ok(
    text.split('\n').every(line => line.length <= 80),
    text,
  );
  t.match(text, /\n {2}source {6}short\n! route {7}a long text/);
  t.match(text, /\nverdict: {6}lost: for a reason\nwhat to do: {3}repair it repair/);
  const doubt = { step: 'underlay', ok: true, certain: false, text: '192.0.2.2 did not answer last time' };
  const passed = { ...answer, outcome: 'delivered' as const, verdict: 'delivered', remedy: null };
  const doubtful = showTrace([
    { ...passed, steps: [doubt] },
    { ...passed, steps: [] },
  ]);
  t.match(doubtful, /\n\? underlay {4}192\.0\.2\.2 did not/);
  t.match(
    doubtful,
    /\nverdict: {6}not known: 192\.0\.2\.2 did not answer last time\. Otherwise\s+delivered\n/,
  );
  const departure = {
    ...{ from: '192.0.2.1', to: '192.0.2.2', payload: null, peer: 'node2' },
    ...{ sourcePort: null, port: null, groupPolicy: false },
  };
  t.match(
    showTrace([{ ...answer, remedy: null, departure }]),
    /--peer-socket with the socket of node2 continues the trace there\n$/,
  );
});

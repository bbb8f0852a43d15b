import { appendFileSync } from 'node:fs';
import t from 'tap';
import { transfer } from '../../../bench/lab/transfer.ts';
import type { FlowRow } from '../../../src/capture/flows/flow-report.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { allAtOnce } from '../../fixtures/agents/overlay.ts';
import { MAIN } from '../../fixtures/agents/run-node.ts';
import { watchedNodes } from '../../fixtures/agents/watched-nodes.ts';
import { readLines, readOutput } from '../../fixtures/json-output.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* `ripstop flows` and `ripstop top` on running nodes, compared with the counters of the kernel. */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping', 'nft', 'tcpdump', 'script');

const TRANSFER_BYTES = 20_000_000;

/** A counter of /proc/net/snmp in the namespace of a pod. */
function tcpCounter({ pods }: Node, name: string): number {
  const [names, values] = pods[0]!.ns
    .must(['cat', '/proc/net/snmp'])
    .split('\n')
    .filter(line => line.startsWith('Tcp:'))
    .map(line => line.split(' '));
  return Number(values![names!.indexOf(name)]);
}

for (const [mode, family] of [
  ['vxlan', 4],
  ['udp', 6],
] as const) {
  t.test(`${mode}, IPv${family}: what the kernel counted`, { skip }, async t => {
    const networks = mode === 'udp' ? { networks: ['10.244.0.0/16', 'fd00:10:244::/48'] } : {};
    const { one, two, ripstop } = await watchedNodes(t, { mode, ...networks });
    const address = two.pods[0]!.address[family];
    const flows = async (node: Node, ...args: string[]) =>
      readOutput('ripstop-flows/1', await ripstop(node, 'flows', '--json', '--rows', '0', ...args).success());
    const drops = ripstop(one, 'drops', '--follow');
    await drops.saying(/following/);
    const capture = ripstop(one, 'capture', '-p', 'egress-inner', '-c', '3', 'udp');
    await capture.saying(/capturing/);
    t.match(await flows(one, '--seconds', '1'), { flows: [], overlays: [{ sampled: 1 }] });
    // Every two hundredth message of the overlay is lost on its way.
    two.ns.must([
      'nft',
      'add table inet loss; add chain inet loss in { type filter hook input priority 0; }; ' +
        `add rule inet loss in udp dport ${mode === 'vxlan' ? 8472 : 8285} numgen inc mod 200 0 drop`,
    ]);
    const retransmitted = () => [one, two].map(node => tcpCounter(node, 'RetransSegs'));
    const before = retransmitted();
    const { intact, seconds } = await transfer({
      ...{ from: one.pods[0]!.ns, to: two.pods[0]!.ns, address, bytes: TRANSFER_BYTES, port: 5001 },
    });
    t.ok(intact);
    const again = retransmitted()[0]! - before[0]!;
    two.ns.must(['nft', 'delete', 'table', 'inet', 'loss']);
    const unreachable = family === 4 ? '10.244.200.9' : 'fd00:10:244:c8::9';
    const lost = () => drops.stdout.split('\n').filter(line => line.includes(`> ${unreachable}:`)).length;
    await until('two drops', () => {
      // The node removes foreign entries of its device as soon as it sees them.
      if (mode === 'vxlan')
        one.ns.ip(
          'route replace 10.244.200.0/24 via 10.244.200.0 dev flannel.1 onlink',
          'neigh replace 10.244.200.0 lladdr 02:00:00:00:00:99 dev flannel.1 nud permanent',
        );
      one.pods[0]!.ns.attempt(['ping', '-c', '1', '-W', '0.3', unreachable]);
      return lost() >= 2;
    });

    const answer = await flows(one);
    const find = (match: Partial<FlowRow>) =>
      answer.flows.find(row =>
        Object.entries(match).every(([key, value]) => row[key as keyof FlowRow] === value),
      );
    const sent = find({ direction: 'egress', destination: address, destinationPort: 5001 })!;
    t.comment(`${seconds} s, ${JSON.stringify(sent)}, kernel: ${again} again`);
    t.match(sent, { protocol: 'tcp', peer: 'node2', source: one.pods[0]!.address[family], ending: true });
    const payload = TRANSFER_BYTES + again * 1398;
    t.ok(sent.bytes > payload && sent.bytes < payload * 1.08, `${sent.bytes} bytes, ${payload} of payload`);
    const size = sent.bytes / sent.packets;
    t.ok(size > 1300 && size <= 1472, `${size} bytes a packet: as they are on the wire`);
    t.ok(
      again > 0 && Math.abs(sent.retransmissions - again) <= 2 + again * 0.1,
      `${sent.retransmissions} of ${again}`,
    );
    t.ok(sent.rttMs! > 0.01, `${sent.rttMs} ms`);
    t.ok(sent.rttMinMs! <= sent.rttMs!);
    const back = find({ direction: 'ingress', source: address, sourcePort: 5001 })!;
    // The far end has only its SYN-ACK and FIN to send again, when what confirms them is among the lost.
    const backAgain = retransmitted()[1]! - before[1]!;
    t.match(back, { peer: 'node2', retransmissions: backAgain });
    const dropped = find({ destination: unreachable });
    t.match(dropped, {
      protocol: family === 4 ? 'icmp' : 'icmp6',
      ...{ packets: 0, dropReason: 'no-peer', peer: null },
    });
    t.match(answer.overlays, [{ sampled: 1, frames: { unsampled: 0 } }]);
    const peer = answer.peers.find(row => row.peer === 'node2')!;
    t.ok(peer.egress.bytes >= sent.bytes && peer.ingress.bytes >= back.bytes);
    t.ok(peer.egress.retransmissions >= sent.retransmissions);

    const asked = Date.now();
    const far = await flows(two, '--seconds', '1');
    t.ok(Date.parse(far.overlays[0]!.since) >= asked - 1000, 'the other node began when it was asked');
    await until('drops --follow saw the lost ones', () => lost() === dropped?.drops);
    t.match(await drops.stop('SIGINT'), { code: 0 });
    t.equal(capture.result, undefined, 'a capture ran all the time');
    t.match(await capture.stop('SIGINT'), { code: 0 });
  });
}

t.test('tables, filters, the log and top', { skip }, async t => {
  const { one, two, ripstop, socketOf } = await watchedNodes(t, {});
  const pod = one.pods[0]!;
  const [four, six] = [two.pods[0]!.address[4], two.pods[0]!.address[6]];
  const log = ripstop(one, 'flows', '--log', 'tcp', 'port', '5002');
  await log.saying(/logging/);
  const between = { from: pod.ns, to: two.pods[0]!.ns };
  await transfer({ ...between, address: six, bytes: 100_000, port: 5002 });
  const pings = [four, six].map(address => pod.ns.launch(['ping', '-i', '0.05', '-W', '1', address]));
  const text = (...args: string[]) => ripstop(one, 'flows', '--seconds', '2', ...args).success();
  const all = await text();
  t.match(
    all,
    /^[4-9] flows, counting for \ds\n {2}WHAT +SOURCE +DESTINATION +RATE +BYTES +DROPS +RETR +RTT\n/,
  );
  t.match(all, new RegExp(`^> icmp +${pod.address[4]} +${four} +[\\d.]+k +[\\d.]+k? +0 +0 +-$`, 'm'));
  t.match(all, new RegExp(`^< icmp6 +${six} +${pod.address[6]} `, 'm'));
  const filtered = await text('icmp', 'and', 'src', 'host', four);
  t.match(filtered, /^1 flow,/);
  t.ok(
    filtered.split('\n').every(line => line.length <= 80),
    filtered,
  );
  const peers = await text('--by', 'peer');
  t.match(peers, new RegExp(`^> node2 +${two.underlay[4]} +\\d+ +[34]\\d `, 'm'));
  t.ok(
    peers.split('\n').every(line => line.length <= 80),
    peers,
  );
  const last = (await text('-n', '1', '--sort', 'last')).trim().split('\n');
  t.equal(last.length, 3);

  const fails = async (expected: RegExp, ...args: string[]) => {
    const proc = ripstop(one, 'flows', ...args);
    t.not((await proc.ended).code, 0, args.join(' '));
    t.match(proc.stderr, expected);
  };
  await fails(/filter "prt 80": can't parse filter expression: syntax error/, 'prt', '80');
  await fails(/Allowed choices are rate, /, '--sort', 'size');
  await fails(/no agent listens on \/nowhere/, '--socket', '/nowhere');

  const top = ripstop(one, 'top', '-n', '2', 'icmp');
  t.match(await top.success(), /^\d\d:\d\d:\d\d 2 flows, .*\n(.*\n){3}\n\d\d:\d\d:\d\d 2 flows, /);
  // A terminal of its own: what is typed there are keys.
  const command = `${process.execPath} ${MAIN} top --socket ${socketOf(one)}`;
  const keyboard = `${t.testdir()}/keyboard`;
  one.ns.must(['mkfifo', keyboard]);
  /** @param steps what is shown before a key is pressed, and the key */
  const onTerminal = async (...steps: [shown: RegExp, key: string][]) => {
    const terminal = one.ns.launch([
      ...['sh', '-c', `exec 3<>${keyboard}; exec script -qec "$1" /dev/null <&3`],
      ...['sh', `stty rows 24 cols 80; ${command}`],
    ]);
    for (const [pattern, key] of steps) {
      await terminal.saying(pattern);
      appendFileSync(keyboard, key);
    }
    const shown = await terminal.success();
    t.ok(
      shown.includes('\x1b[?1049h') && shown.trimEnd().endsWith('\x1b[?25h\x1b[?1049l'),
      'the screen is given back',
    );
    return shown;
  };
  const shown = await onTerminal([/by rate; keys/, 's'], [/by packet-rate/, 'p'], [/> node2 /, 'q']);
  t.match(shown, /ripstop top, by rate; keys: s p space q/);
  t.match(shown, /ripstop top, by packet-rate/);
  t.match(shown, /> node2 /);
  const ended = await onTerminal([/by rate; keys/, ' '], [/by rate, paused/, '\x03']);
  t.match(ended, /by rate, paused/);

  for (const proc of pings) await proc.stop('SIGINT');
  await until('a line of the log', () => log.stdout.includes('\n'));
  t.match(await log.stop('SIGINT'), { code: 0 });
  const lines = readLines('ripstop-flow/1', log.stdout);
  t.ok(lines.every(line => line.protocolIdentifier === 6));
  t.match(
    lines.find(line => line.destinationIPv6Address === six),
    {
      ...{ flowDirection: 1, flowEndReason: 3, samplingProbability: 1, destinationTransportPort: 5002 },
      ripstop: { peer: 'node2', protocol: 'tcp', dropReason: null },
    },
  );
});

t.test('the agent: names of the leases; plain routes have no flows to show', { skip }, async t => {
  const lab = labFor(t);
  const store = fileStoreFor(t);
  const { agents } = agentsFor(t, lab, store.flags);
  for (const agent of agents) {
    agent.rememberSubnet();
    agent.start();
  }
  await Promise.all(agents.map(agent => agent.ready(1)));
  const [one, two] = lab.nodes as [Node, Node];
  const [agent] = agents;
  await agent!.ask('/flows');
  one.pods[0]!.ns.must(['ping', ...allAtOnce(3), two.pods[0]!.address[4]]);
  const answer = await agent!.ask('/flows', '?sort=packets&limit=1');
  t.match(answer, { flows: [{ packets: 3, protocol: 'icmp', peerAddress: two.underlay[4] }] });
  t.equal(answer.flows.length, 1);
  t.ok(answer.total >= 2, `${answer.total} flows`);
  await t.rejects(agent!.ask('/flows', '?sort=bytez'), { code: 'ECONFIG', hint: 'did you mean "bytes"?' });
  await t.rejects(agent!.ask('/flows', '?limit=x'), {
    code: 'ECONFIG',
    message: /limit "x" is not a whole number/,
  });
  store.write({ Backend: { Type: 'host-gw' } });
  agent!.signal('SIGHUP');
  await until('plain routes', async () => {
    const failure = await agent!.ask('/flows').catch(error => error as { message: string });
    return /the kernel carries the packets/.test(String((failure as { message?: string }).message));
  });
});

import { PassThrough } from 'node:stream';
import t from 'tap';
import type { FlowStatus } from '../../../../src/api/answers.ts';
import { answerFlowLog, flowsOf, readFlowsQuery } from '../../../../src/api/flows.ts';
import { createFlowFilter } from '../../../../src/capture/flows/flow-filter.ts';
import { type FlowRecord, readFiveTuple } from '../../../../src/capture/flows/flow-log.ts';
import { FlowMonitor } from '../../../../src/capture/flows/flow-monitor.ts';
import { PodNames } from '../../../../src/capture/live/pods.ts';
import { showFlows } from '../../../../src/cli/commands/packets/flows-view.ts';
import { NO_PEER } from '../../../../src/dataplane/descriptor/verdicts.ts';
import { PATIENCE_MS, until } from '../../../../src/lab/until.ts';
import { readLines } from '../../../fixtures/json-output.ts';
import { skipUnless } from '../../../fixtures/skip-unless.ts';
import { ethernet, ip, tcp, udp, V4, V6 } from '../fixtures/frames.ts';
import { worker } from '../fixtures/tapped.ts';

const since = '1970-01-01T00:00:00.000Z';
const web = { namespace: 'default', name: 'web-1', since, until: null };
const pods = { names: new PodNames([{ address: '10.244.1.5', ...web }]) };
const datagram = (port: number) => ethernet(ip(V4, 17, udp(port, 53, new Uint8Array(20), V4)));
const fin = ethernet(
  ip(V6, 6, tcp({ from: 40000, to: 80, sequence: 1, flags: 0x11 }, new Uint8Array(10), V6)),
);

t.test(
  'one line per flow: when it is evicted and when it ends; the table stays on while there is a follower',
  async t => {
    const one = worker('egress');
    const monitor = new FlowMonitor(one.source, 'flannel.1', 8);
    t.teardown(() => monitor.close());
    const lines: FlowRecord[] = [];
    const end = monitor.follow(
      record => lines.push(record),
      () => {},
    );
    t.equal(one.pass([{ frame: fin }, { frame: fin, verdict: NO_PEER, peer: -1 }]), 17);
    monitor.report();
    for (let port = 1; port <= 20; port++) {
      one.pass([{ frame: datagram(port) }]);
      monitor.report();
    }
    t.equal(lines.length, 13, 'eight have room');
    t.match(lines[0], {
      ...{ flowEndReason: 5, flowDirection: 1, protocolIdentifier: 17, samplingProbability: 1 },
      ...{
        sourceIPv4Address: '10.244.1.5',
        destinationIPv4Address: '10.244.2.9',
        destinationTransportPort: 53,
      },
      ...{ packetDeltaCount: 1, octetDeltaCount: 48, droppedPacketDeltaCount: 0 },
      ripstop: { device: 'flannel.1', protocol: 'udp', peer: 'node-b', dropReason: null },
    });
    t.equal(lines[0]?.sourceIPv6Address, undefined);
    await until('the end of the connection', () => lines.some(line => line.protocolIdentifier === 6));
    const last = lines.find(line => line.protocolIdentifier === 6)!;
    t.match(last, {
      ...{
        flowEndReason: 3,
        sourceIPv6Address: 'fd00:1::5',
        packetDeltaCount: 1,
        droppedPacketDeltaCount: 1,
      },
      ripstop: { dropReason: 'no-peer', peer: null },
    });
    t.strictSame(readFiveTuple(JSON.stringify(last)), {
      ...{ protocol: 'tcp', source: 'fd00:1::5', sourcePort: 40000 },
      ...{ destination: 'fd00:2::9', destinationPort: 80 },
    });
    end();
  },
);

t.test('a reader of the log that is too slow loses lines, and is told', async t => {
  const one = worker('egress');
  const monitor = new FlowMonitor(one.source, 'flannel.1', 8);
  t.teardown(() => monitor.close());
  const response = Object.assign(new PassThrough({ highWaterMark: 1 }), {
    writeHead() {},
    flushHeaders() {},
  });
  answerFlowLog(response as never, { flows: [monitor], pods });
  for (let port = 1; port <= 4000; port++) {
    one.pass([{ frame: datagram(port) }]);
    if (port % 50 === 0) monitor.report();
  }
  let read = '';
  response.on('data', chunk => {
    read += chunk;
  });
  await until('what waited was read', () => response.writableLength === 0);
  one.pass(Array.from({ length: 60 }, (_, at) => ({ frame: datagram(5000 + at) })));
  monitor.report();
  await until('the next lines', () => read.includes('lostRecords'));
  const records = readLines('ripstop-flow/1', read);
  const lost = records.reduce((sum, record) => sum + (record.lostRecords ?? 0), 0);
  t.match(records[0], { sourcePodNamespace: 'default', sourcePodName: 'web-1' });
  t.notOk('destinationPodName' in records[0]!, 'a pod of another node');
  t.ok(lost > 0);
  t.equal(records.length + lost, 4060 - 8, 'each is there or counted');
  response.emit('close');
});

t.test('the log ends with a data plane, as a capture does', async t => {
  const planes = ['flannel.1', 'flannel-v6.1'].map(device => {
    const one = worker('egress');
    const source = { ...one.source, isClosed: false };
    const monitor = new FlowMonitor(source, device, 8);
    t.teardown(() => monitor.close());
    return { one, source, monitor };
  });
  const response = Object.assign(new PassThrough(), { writeHead() {}, flushHeaders() {} });
  response.resume();
  answerFlowLog(response as never, { flows: planes.map(({ monitor }) => monitor), pods });
  planes[0]!.source.isClosed = true;
  await until('the answer ends', () => response.writableEnded, PATIENCE_MS, 50);
  const { one, monitor } = planes[1]!;
  for (let port = 1; port <= 20; port++) one.pass([{ frame: datagram(port) }]);
  monitor.report();
  t.equal(response.errored, null, 'the other data plane says nothing into a closed answer');
});

t.test('kept on by configuration; off with the data plane', async t => {
  const one = worker('egress');
  const source = { ...one.source, isClosed: false };
  const monitor = new FlowMonitor(source, 'flannel.1');
  t.equal(one.pass([{ frame: fin }]), 0);
  monitor.keep();
  t.equal(one.pass([{ frame: fin }]), 17);
  source.isClosed = true;
  await until('it ends by itself', () => one.pass([{ frame: fin }]) === 0, PATIENCE_MS, 50);
  t.throws(() => flowsOf({ flows: [], pods }, { sort: 'rate', limit: 1 }), { code: 'ECAPTURE' });
  t.strictSame(readFlowsQuery(new URLSearchParams('limit=7&sort=rtt')), { sort: 'rtt', limit: 7 });
  t.strictSame(readFlowsQuery(new URLSearchParams('')), { sort: 'rate', limit: 100 });
  t.throws(() => readFlowsQuery(new URLSearchParams('limit=-1')), { code: 'ECONFIG' });
});

t.test("a filter in tcpdump's language", { skip: skipUnless('tcpdump') }, async t => {
  const web = {
    protocol: 'tcp',
    source: '10.244.1.5',
    sourcePort: 40000,
    destination: '10.244.2.9',
    destinationPort: 80,
  };
  const ping = {
    protocol: 'icmp6',
    source: 'fd00::1',
    sourcePort: null,
    destination: 'fd00::2',
    destinationPort: null,
  };
  const other = { ...ping, protocol: '47' };
  const passes = async (expression: string) => {
    const filter = await createFlowFilter(expression);
    return [web, ping, other].map(flow => filter?.(flow));
  };
  t.strictSame(await passes(''), [undefined, undefined, undefined]);
  t.strictSame(await passes('tcp dst port 80 and src net 10.244.1.0/24'), [true, false, false]);
  t.strictSame(await passes('tcp src port 80'), [false, false, false]);
  t.strictSame(await passes('icmp6 and host fd00::2'), [false, true, false]);
  t.strictSame(await passes('ip6 proto 47'), [false, false, true]);
  await t.rejects(createFlowFilter('prt 80'), { code: 'EFILTER' });
});

t.test('the tables fit 80 columns; the summary names evicted flows and the sampled share', async t => {
  const counts = {
    packets: 5,
    bytes: 5000,
    packetRate: 2,
    bitRate: 4e6,
    drops: 1,
    retransmissions: 2,
    rttMs: 1.5,
    rttMinMs: 1,
  };
  const row: FlowStatus = {
    ...counts,
    ...{
      device: 'flannel.1',
      direction: 'egress',
      protocol: 'tcp',
      peer: 'node-b',
      peerAddress: '192.0.2.2',
    },
    ...{ source: 'fd00::1', sourcePort: 1, destination: '10.244.2.9', destinationPort: 80 },
    ...{ dropReason: null, ending: false, first: '', last: '', sourcePod: null, destinationPod: null },
  };
  const overlay = { device: 'flannel.1', since: new Date(Date.now() - 5000).toISOString(), rateSeconds: 1.5 };
  const full = { capacity: 8, flows: 1, evicted: { flows: 3, packets: 3, bytes: 3 } };
  const answer = {
    overlays: [{ ...overlay, frames: { seen: 1, unsampled: 99, other: 0 }, sampled: 0.0123, table: full }],
    ...{ total: 1, flows: [row] },
    peers: [
      { device: 'flannel.1', peer: null, peerAddress: null, flows: 1, egress: counts, ingress: counts },
    ],
  };
  const text = showFlows(answer, { by: 'flow', rows: 5 });
  t.match(
    text,
    /^1 flow, counting for 5s; 3 small flows evicted \(table of 8\); 1.2 % of the frames seen, counts are estimates\n/,
  );
  t.match(text, /^> tcp +\[fd00::1\]:1 +10.244.2.9:80 +4.00M +4.88k +1 +2 +1.50ms$/m);
  const named = { ...row, sourcePod: 'default/web-1' };
  t.match(
    showFlows({ ...answer, flows: [named] }, { by: 'flow', rows: 5 }),
    / default\/web-1:1 +10.244.2.9:80 /,
  );
  t.match(showFlows(answer, { by: 'peer', rows: 5 }), /^< - +- +1 +2 +4.00M/m);
  const six = {
    ...row,
    ...{ source: 'fd00:10:244:1::2', sourcePort: 40_000, destination: 'fd00:10:244:2::2' },
  };
  const long = { ...six, source: 'fd00:1234:5678:9abc:def0:1234:5678:9abc' };
  const narrow = showFlows({ ...answer, flows: [six, long, row] }, { by: 'flow', rows: 5, columns: 80 });
  const [, ...table] = narrow.split('\n');
  t.ok(
    table.every(line => line.length <= 80),
    narrow,
  );
  t.match(
    narrow,
    /^ {2}WHAT +RATE .*RTT\n> tcp +4.00M .* 1.50ms\n {4}\[fd00:10:244:1::2\]:40000 > \[fd00:10:244:2::2\]:80\n/m,
    'addresses of IPv6 are below the figures',
  );
  t.match(narrow, /\n {4}\[fd00:1234:5678:9abc:def0:1234:5678:9abc\]:40000 > \[fd00:10:244:2::2\]:80\n/);
  t.match(showFlows(answer, { by: 'flow', rows: 5, columns: 80 }), /SOURCE/, 'one line where it fits');
  t.match(showFlows({ ...answer, flows: [], total: 0 }, { by: 'flow', rows: 5 }), /^0 flows.*\nno flow\n$/);
});

import t from 'tap';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { watchedNodes } from '../../fixtures/agents/watched-nodes.ts';
import { readOutput } from '../../fixtures/json-output.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* `ripstop trace` where the two ends disagree, or another part of the far node refuses the packet. */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping', 'tcpdump');

/** The UDP payload of the packet that `tcpdump -x` printed, over IPv4. */
function payloadOf(dump: string): Buffer {
  const lines = dump.match(/^\t0x[\da-f]{4}: .*$/gm) ?? [];
  return Buffer.from(lines.map(line => line.replace(/^\t0x\S+|\s/g, '')).join(''), 'hex').subarray(28);
}

/** Without identification and checksum of the inner IPv4 header: the sender chooses the first. */
function comparable(datagram: Buffer): string {
  const copy = Buffer.from(datagram);
  const ip = 8 + 14;
  copy.fill(0, ip + 4, ip + 6).fill(0, ip + 10, ip + 12);
  return copy.toString('hex');
}

/** A counter of /proc/net/netstat. */
function counterOf({ ns }: Node, group: string, name: string): number {
  const [names, values] = ns
    .must(['cat', '/proc/net/netstat'])
    .split('\n')
    .filter(line => line.startsWith(`${group}:`))
    .map(line => line.split(' ')) as [string[], string[]];
  return Number(values[names.indexOf(name)]);
}

t.test('what only one end has is found, and what is foretold is what happens', { skip }, async t => {
  const { one, two, ripstop, socketOf, reload } = await watchedNodes(t, { mode: 'vxlan' });
  const [from, to] = [one, two].map(node => node.pods[0]!.address[4]) as [string, string];
  const pod = one.pods[0]!.ns;
  const ping = () => pod.attempt(['ping', '-c', '1', '-W', '1', to]).code;
  const trace = async (...args: string[]) => {
    const both = ['--src', from, '--dst', to, '--peer-socket', socketOf(two)];
    const proc = ripstop(one, 'trace', ...both, '--json', ...args);
    const { code } = await proc.ended;
    const { nodes } = readOutput('ripstop-trace/1', proc.stdout);
    return { code, nodes, last: nodes.at(-1)! };
  };
  const drops = async (node: Node) => {
    const proc = ripstop(node, 'drops');
    return proc.success();
  };
  const peersOf = (node: Node, more: object) => ({
    peers: [{ name: `node${node.index}`, address: node.underlay[4], subnets: [node.subnet[4]], ...more }],
  });
  t.equal(ping(), 0);

  await t.test('remote checksums at the sender alone', async t => {
    await reload(one, peersOf(two, { remoteChecksum: true }));
    const udp = ['--proto', 'udp', '--sport', '40000', '--dport', '5001', '--size', '92'];
    const { code, nodes, last } = await trace(...udp);
    t.equal(code, 1);
    t.match(last, { outcome: 'dropped', verdict: /^dropped: bad-flags/, remedy: /remote checksum offload/ });
    t.match((await trace('--dport', '80')).last, { verdict: /^dropped: bad-flags/ }, 'TCP as well');
    t.match(await trace(), { code: 0, last: { outcome: 'delivered' } }, 'ICMP has no partial checksum');
    t.equal(ping(), 0, 'and so it is');

    const wire = two.ns.launch(['tcpdump', '-lnxi', 'eth0', '-c', '1', 'udp port 8472 and udp[8] = 8']);
    await wire.saying(/listening on/, undefined);
    const send =
      "const s = require('dgram').createSocket('udp4'); " +
      `s.bind(40000, () => s.send(Buffer.alloc(64), 5001, '${to}', () => s.close()))`;
    pod.must([process.execPath, '-e', send]);
    const sent = payloadOf(await wire.success());
    const foretold = Buffer.from(nodes[0]!.departure!.payload!, 'base64');
    t.equal(comparable(foretold), comparable(sent), 'byte for byte what is on the wire');
    await until('the loss', async () => /bad-flags/.test(await drops(two)));
  });

  await t.test('another port', async t => {
    await reload(one, {});
    await reload(two, { port: 4789 });
    await until('the other port', async () =>
      /UDP port 8472, and flannel\.1 of this node receives on port 4789/.test((await trace()).last.verdict),
    );
    t.match(await trace(), {
      code: 1,
      nodes: [{ departure: { port: 8472, sourcePort: Number } }, { remedy: /Backend\.Port/ }],
    });
    t.equal(ping(), 1, 'and so it is');
  });

  await t.test('another VNI', async t => {
    await reload(two, { vni: 7 });
    await until('the other VNI', async () => /^dropped: wrong-vni/.test((await trace()).last.verdict));
    t.equal(ping(), 1, 'and so it is');
  });

  await t.test('the reverse path filter of the far node', async t => {
    await reload(two, {});
    await until('the way', () => ping() === 0);
    two.ns.sysctl('net.ipv4.conf.all.rp_filter=1');
    two.ns.ip(`route add ${one.subnet[4]} dev eth0 table 99`, `rule add to ${one.subnet[4]} table 99`);
    const filtered = () => counterOf(two, 'TcpExt', 'IPReversePathFilter');
    const before = filtered();
    t.match(await trace(), {
      code: 1,
      last: {
        outcome: 'dropped',
        verdict: `lost: dropped by the reverse path filter on flannel.1 (net/ipv4/conf/all/rp_filter is 1): the route to ${from} leaves by eth0`,
      },
    });
    t.equal(ping(), 1, 'and so it is');
    t.ok(filtered() > before, 'by the counter of the kernel');
    two.ns.ip(`rule del to ${one.subnet[4]} table 99`);
  });

  await t.test('an address without an answer', async t => {
    await until('the way', () => ping() === 0);
    const late = to.replace(/\.2$/, '.9');
    t.equal(pod.attempt(['ping', '-c', '1', '-W', '1', late]).code, 1);
    const ask = () => trace('--dst', late);
    await until('the kernel gives up', async () => /last time \(failed\)/.test((await ask()).last.verdict));
    t.match(await ask(), {
      code: 3,
      last: {
        outcome: 'unknown',
        verdict: /^not known: \S+ did not answer on cni0 last time \(failed\); the kernel will ask again/,
      },
    });
    two.pods[0]!.ns.ip(`addr add ${late}/24 dev eth0`);
    t.equal(pod.attempt(['ping', '-c', '1', '-W', '2', late]).code, 0, 'it did ask again');
    t.match(await ask(), { code: 0, last: { outcome: 'delivered' } });
  });
});

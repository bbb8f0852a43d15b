import t from 'tap';
import { transfer } from '../../../bench/lab/transfer.ts';
import { requestTrace } from '../../../src/api/client.ts';
import { requestOf, showTrace } from '../../../src/cli/commands/packets/trace-run.ts';
import type { TraceAnswer } from '../../../src/diagnose/trace/answer.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { allAtOnce } from '../../fixtures/agents/overlay.ts';
import { MAIN } from '../../fixtures/agents/run-node.ts';
import { watchedNodes } from '../../fixtures/agents/watched-nodes.ts';
import { readLines, readOutput } from '../../fixtures/json-output.ts';
import { labFor } from '../../fixtures/lab.ts';
import { CASES, routeRefusals } from '../../fixtures/qemu/route-refusals.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* `ripstop trace`: its prediction compared with what then happens. */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping', 'tcpdump');

for (const [mode, family] of [
  ['vxlan', 4],
  ['udp', 6],
] as const)
  t.test(`${mode}, IPv${family}: through both nodes, and where it is lost`, { skip }, async t => {
    const networks = mode === 'udp' ? { networks: ['10.244.0.0/16', 'fd00:10:244::/48'] } : {};
    const { one, two, ripstop, socketOf, reload } = await watchedNodes(t, { mode, ...networks });
    const [from, to] = [one, two].map(node => node.pods[0]!.address[family]) as [string, string];
    const trace = async (node: Node, ...args: string[]) => {
      const proc = ripstop(node, 'trace', ...args);
      const { code } = await proc.ended;
      return { code, text: proc.stdout, error: proc.stderr };
    };
    const pod = one.pods[0]!.ns;
    const ping = (address: string, ...args: string[]) =>
      pod.attempt(['ping', '-c', '1', '-W', '1', ...args, address]);
    t.equal(ping(to).code, 0);
    const wholly = ['--src', from, '--dst', to, '--peer-socket', socketOf(two)];
    const whole = await trace(one, ...wholly, '--dport', '5001');
    t.equal(whole.code, 0);
    t.ok(
      whole.text.split('\n').every(line => line.length <= 80),
      whole.text,
    );
    const overhead = mode === 'vxlan' ? 50 : 28;
    const syn = family === 4 ? 40 : 60;
    const steps = [
      `${from}.40000 > ${to}.5001: TCP Flags .S., seq 0, win 0,\\s+length 0`,
      `\n${one.underlay[4]}\n`,
      `  source      ${from} is a pod behind cni0`,
      `  route       ${to}( via \\S+)? dev ${mode === 'vxlan' ? 'flannel.1' : 'flannel0'}`,
      ...(mode === 'vxlan' ? ['  neighbour   10.244.2.0 is at \\S+ on flannel.1 .permanent.'] : []),
      `  peer        node2 .${two.underlay[4]}.`,
      `  outer       UDP ${one.underlay[4]}:\\d+ > ${two.underlay[4]}:\\d+, `,
      `  mtu         ${syn} bytes become ${syn + overhead}, the path MTU is 1500`,
      `  underlay    ${two.underlay[4]} dev eth0, neighbour (reachable|stale|delay)`,
      `\n${two.underlay[4]}\n`,
      `  decap       forward: ${one.underlay[4]} is a peer and owns the source address`,
      '  route       \\S+ dev cni0',
      `  pod         ${to} is at \\S+ on cni0 .(reachable|stale|delay).`,
      `verdict:      delivered to ${to} by cni0`,
    ];
    for (const step of steps) t.match(whole.text, new RegExp(step));

    const outer = /outer +UDP (\S+):(\d+) > (\S+):(\d+)/.exec((await trace(one, ...wholly)).text)!;
    const capture = ripstop(
      one,
      'capture',
      '-p',
      'egress-outer',
      '-c',
      '1',
      family === 4 ? 'icmp' : 'icmp6 and ip6[40] == 128',
    );
    await capture.saying(/capturing/);
    ping(to);
    const [, source, port, target, targetPort] = outer;
    t.ok(
      (await capture.success()).includes(` ${source}.${port} > ${target}.${targetPort}: `),
      'as it was foretold',
    );

    /** As the command does, in this process: the socket is a file. */
    const foretell = async (node: Node, src: string, dst: string, more: { size?: number } = {}) => {
      const request = requestOf({ src, dst, socket: socketOf(node), ...more });
      return showTrace([await requestTrace(socketOf(node), request)]);
    };
    const lost = (text: string, expected: RegExp) => {
      t.match(text, expected);
      t.match(text, /\n! \w+ .*(\n.*)*verdict: +(lost|dropped): .*(\n.*)*what to do: /);
    };
    lost(
      await foretell(one, from, to, { size: 2000 }),
      /mtu +2000 bytes, the MTU of \S+ is 14\d\d; the kernel\s+sends/,
    );
    const nobody = family === 4 ? '10.244.77.7' : 'fd00:10:244:77::7';
    const unowned = mode === 'vxlan' ? /there is no route to\s+10.244.77.7/ : /verdict: +dropped: no-peer/;
    lost(await foretell(one, from, nobody), unowned);
    const stranger = family === 4 ? '10.99.0.1' : 'fd99::1';
    lost(await foretell(one, stranger, to), /there is no route to/);
    const gone = family === 4 ? '10.244.2.99' : 'fd00:10:244:2::99';
    ping(gone);
    await until('the kernel gives up', async () =>
      /did not answer on \S+\s+last time/.test(await foretell(two, from, gone)),
    );
    const away = await foretell(two, from, to);
    t.match(away, new RegExp(`source +${from} is a pod of node1 .${one.underlay[4]}.\n +decap +forward`));
    const turned = await trace(two, '--src', from, '--dst', to, '--peer-socket', socketOf(one));
    t.match(turned.text, /outer(.*\n)*.*decap +forward/, 'begun at the other end');

    await reload(two, { peers: [] });
    const refused = await trace(one, ...wholly);
    t.equal(refused.code, 1);
    lost(refused.text, /decap +unknown-peer: the outer source address belongs to no peer/);
    t.equal(ping(to).code, 1, 'and so it is');
    // Not the MTU of the interface, which the node follows.
    one.ns.ip('route change 172.31.0.0/24 dev eth0 proto kernel src 172.31.0.1 mtu 1400');
    lost(
      await foretell(one, from, to, { size: 1400 }),
      /underlay +.* dev eth0: 14\d\d bytes, the MTU\s+is 1400/,
    );
    one.ns.ip('link set eth0 down');
    lost(await foretell(one, from, to), /underlay +there is no route to the address /);
    if (mode === 'udp') return;

    const fails = async (expected: RegExp, ...args: string[]) => {
      const { code, error } = await trace(one, ...args);
      t.equal(code, 2);
      t.match(error, expected);
    };
    await fails(/--src: "10.0.0" is not an IP address/, '--src', '10.0.0', '--dst', to);
    await fails(/of different address families/, '--src', '10.0.0.1', '--dst', 'fd00::1');
    await fails(/ICMP has no ports/, '--src', from, '--dst', to, '--proto', 'icmp', '--dport', '1');
    await fails(/'--dst <address>' not specified/, '--src', from);
  });

t.test('a route that the kernel refuses is explained by what the refusal means', { skip }, async t => {
  const verdicts = routeRefusals(t);
  for (const { name, verdict } of CASES) t.match(verdicts[name], verdict, name);
});

t.test(
  'the agent: masquerade, names of nodes, plain routes, the kernel',
  { skip: skip || skipUnless('nft', 'vxlan') },
  async t => {
    const lab = labFor(t);
    const dual = { EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' };
    const store = fileStoreFor(t, dual);
    const { agents } = agentsFor(t, lab, store.flags);
    const start = async (...flags: string[]) => {
      for (const agent of agents) {
        agent.rememberSubnet();
        agent.start('--ip-masq', ...flags);
      }
      await Promise.all(agents.map(agent => agent.ready(1)));
    };
    await start();
    const [one, two] = lab.nodes as [Node, Node];
    const [from, to] = [one.pods[0]!.address[4], two.pods[0]!.address[4]];
    const trace = async (...args: string[]) => {
      const argv = [
        'trace',
        '--socket',
        agents[0]!.socket,
        '--peer-socket',
        agents[1]!.socket,
        '--json',
        ...args,
      ];
      const proc = one.ns.launch([process.execPath, MAIN, ...argv]);
      await proc.ended;
      t.equal(proc.stderr, '');
      return readOutput('ripstop-trace/1', proc.stdout).nodes;
    };
    const stepOf = (answer: TraceAnswer | undefined, name: string) =>
      answer?.steps.find(({ step }) => step === name);
    t.match(await trace('--src', from, '--dst', to), [
      { outcome: /forwarded|unknown/ },
      { outcome: 'unknown', verdict: /^not known: 10\.244\.2\.2 is not known on cni0 yet/ },
    ]);
    const ping = (address: string) => one.pods[0]!.ns.must(['ping', '-c', '1', address]);
    ping(to);
    ping(two.underlay[4]);
    const [first, second] = await trace('--src', from, '--dst', to);
    t.match(first, {
      node: 'node1',
      outcome: 'forwarded',
      departure: { peer: 'node2', to: two.underlay[4] },
    });
    t.match(stepOf(first, 'masquerade'), { text: 'no: both ends are in 10.244.0.0/16' });
    t.match(second, { node: 'node2', outcome: 'delivered', departure: null, remedy: null });

    const [out] = await trace('--src', from, '--dst', two.underlay[4]);
    t.match(out, { outcome: 'routed-elsewhere', verdict: 'leaves by eth0, outside the overlay' });
    t.match(stepOf(out, 'masquerade'), {
      text: `yes: ${two.underlay[4]} is outside of 10.244.0.0/16; it leaves as ${one.underlay[4]}`,
    });
    const [own, far] = await trace('--src', one.underlay[4], '--dst', to);
    t.match(stepOf(own, 'masquerade'), { text: /^yes: .*; it leaves as 10.244.1.0$/ });
    t.match(far, { outcome: 'delivered' }, 'the peer accepts the source address');
    const [home] = await trace('--src', from, '--dst', '10.244.1.1');
    t.match(home, { outcome: 'delivered', verdict: 'delivered to this node itself' });

    const [from6, to6] = [one.pods[0]!.address[6], two.pods[0]!.address[6]];
    ping(to6);
    t.match(await trace('--src', from6, '--dst', to6), [{ outcome: 'forwarded' }, { outcome: 'delivered' }]);
    const sockets = ['--socket', agents[0]!.socket, '--peer-socket', agents[1]!.socket];
    const live = ['trace', ...sockets, '--live', '-c', '1', '--src', from6, '--dst', to6, '--proto', 'icmp'];
    const followed = one.ns.launch([process.execPath, MAIN, ...live]);
    await followed.saying(/following at fd31::1 and fd31::2/);
    one.pods[0]!.ns.must(['ping', '-c', '1', to6]);
    t.match(await followed.success(), /ICMPv6.*\n.* > underlay .*, total /, 'at the overlay of its family');

    const drops = one.ns.launch([process.execPath, MAIN, 'drops', '--follow', '--socket', agents[0]!.socket]);
    await drops.saying(/following/);
    const nowhere = ['10.244.200.9', 'fd00:10:244:c8::9'];
    for (const [device, to, via] of [
      ['flannel.1', nowhere[0], '10.244.200.0'],
      ['flannel-v6.1', nowhere[1], 'fd00:10:244:c8::'],
    ]) {
      // Again and again: the agent takes away what is not its own, on a busy machine before the packet comes.
      await until(`the loss at ${device}`, () => {
        const entry = [via!, 'lladdr', '02:00:00:00:00:99', 'dev', device!, 'nud', 'permanent'];
        one.ns.attempt(['ip', 'neigh', 'replace', ...entry]);
        one.ns.attempt(['ip', 'route', 'replace', to!, 'via', via!, 'dev', device!, 'onlink']);
        one.pods[0]!.ns.attempt(['ping', '-c', '1', '-W', '1', to!]);
        return drops.stdout.includes(`> ${to}: ICMP`);
      });
    }
    t.match(await drops.stop('SIGINT'), { code: 0 });

    store.write({ Backend: { Type: 'host-gw' } });
    for (const agent of agents) agent.signal('SIGHUP');
    await until(
      'plain routes',
      async () => (await trace('--src', from, '--dst', to))[0]!.departure?.payload === null,
    );
    const plain = await trace('--src', from, '--dst', to);
    t.match(plain, [
      { outcome: 'forwarded', verdict: 'sent to node2 as it is, by the kernel' },
      { outcome: 'delivered' },
    ]);

    store.write({});
    for (const agent of agents) await agent.stop();
    await start('--data-plane=kernel');
    // The peer that starts last may have another MAC for a moment.
    await until('traffic', () => one.pods[0]!.ns.attempt(['ping', '-c', '1', '-W', '1', to]).code === 0);
    await until('the other node', async () => (await trace('--src', from, '--dst', to))[1] !== undefined);
    t.match(await trace('--src', from, '--dst', to), [
      { outcome: 'forwarded', verdict: "sent to node2 by the kernel's VXLAN" },
      { outcome: 'delivered' },
    ]);
    const request = {
      source: from,
      destination: to,
      protocol: 'icmp',
      sourcePort: 0,
      destinationPort: 0,
      size: 84,
    };
    const { overlays } = await agents[1]!.ask('/status');
    one.ns.must(['bridge', 'fdb', 'del', overlays[0]!.mac!, 'dev', 'flannel.1']);
    // At once: the agent is about to repair it.
    t.match(await requestTrace(agents[0]!.socket, request), {
      ...{ outcome: 'dropped', verdict: /has no forwarding entry/, remedy: /bridge fdb show dev flannel.1/ },
    });
    const refused = (body: object, message: RegExp) =>
      t.rejects(requestTrace(agents[0]!.socket, body), { code: 'ECONFIG', message });
    await refused({ ...request, source: 'nowhere' }, /source: "nowhere" is not an IP address/);
    await refused({ ...request, size: 5 }, /a packet of 5 bytes/);
    await refused({ ...request, source: 'fd00::1' }, /of different families/);
    await refused({ ...request, sauce: 1 }, /sauce: unknown key/);
    await refused({ ...request, arrival: { from: to, to, payload: '%' } }, /payload: "%" is not base64/);
  },
);

t.test('live: real packets through both nodes', { skip: skip || skipUnless('nft') }, async t => {
  const { one, two, folder, ripstop, socketOf, reload } = await watchedNodes(t, {});
  const [from, to] = [one, two].map(node => node.pods[0]!.address[4]) as [string, string];
  const pod = one.pods[0]!.ns;
  const follow = async (...args: string[]) => {
    const proc = ripstop(one, 'trace', '--live', '--src', from, '--dst', to, ...args);
    await proc.saying(/following at /);
    return proc;
  };
  const both = ['--peer-socket', socketOf(two)];
  const pinged = await follow(...both, '--count', '3');
  t.equal(pod.attempt(['ping', ...allAtOnce(3), to]).code, 0);
  const step = (node: Node) => `${node.underlay[4]} [\\d.]+(us|ms)`;
  const way = '([\\d.]+(us|ms)|-[\\d.]+(us|ms) \\(read before the batch was sent\\))';
  t.match(
    await pinged.success(),
    new RegExp(
      `^(\\d\\d:\\d\\d:\\d\\d\\.\\d{6} ${from} > ${to}: ICMP, length 64\n  ${step(one)} > underlay ${way} > ${step(two)}, total [\\d.]+(us|ms)\n){3}$`,
    ),
  );
  t.match(pinged.stderr, /3 packets: 3 arrived\n/);

  const between = { from: pod, to: two.pods[0]!.ns, address: to };
  const streamed = await follow(...both, '--proto', 'tcp', '--dport', '5001', '--json');
  t.ok((await transfer({ ...between, bytes: 1_000_000, port: 5001 })).intact);
  await until('all were joined', () => streamed.stdout.split('\n').length > 700);
  await streamed.stop('SIGINT');
  const notes = readLines('ripstop-path/1', streamed.stdout);
  const odd = notes.filter(
    // Read there after it was read here, though perhaps before the batch that it left in was done.
    ({ fate, steps: [sent, way, got] }) =>
      !(fate === 'arrived' && sent!.ns >= 0 && sent!.ns + (way?.ns ?? NaN) > 0 && (got?.ns ?? NaN) >= 0),
  );
  t.same(odd, [], `${notes.length} packets, GSO packets joined with their segments`);

  const lossy = await follow(...both);
  two.ns.must([
    'nft',
    'add table inet loss; add chain inet loss in { type filter hook input priority 0; }; ' +
      'add rule inet loss in udp dport 8472 drop',
  ]);
  pod.attempt(['ping', '-c', '1', '-W', '1', to]);
  await until('it is missed', () =>
    /lost between the nodes: the other node did not see it/.test(lossy.stdout),
  );
  two.ns.must(['nft', 'delete', 'table', 'inet', 'loss']);
  pod.attempt(['ping', '-c', '1', '-W', '1', '-M', 'do', '-s', '1450', to]);
  await reload(two, { peers: [] });
  pod.attempt(['ping', '-c', '1', '-W', '1', to]);
  await until('the peer drops the datagram', () =>
    /dropped: unknown-peer\n.*\n {2}what to do: /.test(lossy.stdout),
  );
  t.match(await lossy.stop('SIGINT'), { code: 0 });
  t.match(lossy.stderr, /2 packets: 1 missing, 1 dropped/);

  const alone = await follow('--count', '1');
  pod.attempt(['ping', '-c', '1', '-W', '1', to]);
  t.match(await alone.success(), new RegExp(`\n  ${step(one)}, to node2 .${two.underlay[4]}.\n$`));
  const nobody = ripstop(one, 'trace', '--live', '--src', from, '--dst', to, '--peer-socket', '/nowhere');
  t.match(await nobody.ended, { code: 1 });
  t.match(nobody.stderr, /no agent listens on \/nowhere/);

  const last = await follow();
  const captured = ripstop(one, 'capture', '--write', `${folder}/last.pcapng`);
  await captured.saying(/capturing/);
  pod.attempt(['ping', '-c', '1', '-W', '1', to]);
  await until('the packet', () => last.stdout.includes(to));
  // A command that has just ended is gone from /proc.
  const isNode = (pid: string) => one.ns.attempt(['cat', `/proc/${pid}/cmdline`]).stdout.includes('\0run\0');
  const pids = one.ns.must(['ip', 'netns', 'pids', one.ns.name]).trim().split('\n');
  process.kill(Number(pids.find(isNode)), 'SIGKILL');
  t.match(await last.ended, { code: 1 });
  t.match(last.stderr, /1 packets: 1 \w+\n.*the agent closed the stream: it has ended/);
  t.match(await captured.ended, { code: 1 });
  t.match(captured.stderr, /\d packets captured, \d lost.*\n.*the agent closed the stream: it has ended/);
});

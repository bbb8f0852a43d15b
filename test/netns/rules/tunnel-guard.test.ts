import t from 'tap';
import type { Namespace } from '../../../src/lab/namespace.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { PingStream } from '../../fixtures/agents/ping-stream.ts';
import { MAIN } from '../../fixtures/agents/run-node.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { inVxlan, udpPacket } from '../../fixtures/traffic/forged.ts';

const SKIP = { skip: skipUnless('root', 'netns', 'tun', 'nft', 'iptables', 'ip6tables', 'setpriv', 'ping') };
/** Where the victims listen. */
const PORT = 9999;
const SERVICE = '10.96.0.10';
const NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--bounding-set=-all'];

/** Prints each datagram that arrives. */
async function victim(ns: Namespace) {
  const code = `const s=require('dgram').createSocket({type:'udp6'});s.on('message',m=>console.log('got '+m));s.bind(${PORT},'::',()=>console.log('listening'))`;
  const proc = ns.launch([process.execPath, '-e', code]);
  await proc.saying(/listening/);
  return proc;
}

/** Sends one UDP datagram three times. @param from source address to bind */
function send(
  ns: Namespace,
  before: readonly string[],
  to: string,
  port: number,
  bytes: Buffer,
  from = '',
): void {
  const code =
    'const [to,port,hex,from]=process.argv.slice(1);const s=require("dgram").createSocket(to.includes(":")?"udp6":"udp4");' +
    'const go=n=>n?s.send(Buffer.from(hex,"hex"),port,to,e=>{if(e)console.error(e.message);go(n-1)}):s.close();' +
    'from?s.bind({address:from},()=>go(3)):go(3)';
  ns.must([...before, process.execPath, '-e', code, to, String(port), bytes.toString('hex'), from]);
}

const macOf = (node: Node, device: string): string =>
  node.ns.must(['cat', `/sys/class/net/${device}/address`]).trim();

/** Packets that rules against tunnel datagrams of pods have dropped on a node. */
function dropped(node: Node, tool: 'nftables' | 'iptables'): number {
  if (tool === 'nftables') {
    const table = node.ns.must(['nft', 'list', 'table', 'inet', 'ripstop']);
    return [...table.matchAll(/counter packets (\d+) bytes \d+ drop/g)].reduce(
      (sum, [, n]) => sum + Number(n),
      0,
    );
  }
  return ['iptables', 'ip6tables']
    .flatMap(command => ['GUARD-FWD', 'GUARD-IN'].map(chain => [command, `RIPSTOP-${chain}`]))
    .map(([command, chain]) => node.ns.attempt([command!, '-t', 'mangle', '-nvxL', chain!]).stdout)
    .flatMap(text => [...text.matchAll(/^ *(\d+) +\d+ DROP/gm)])
    .reduce((sum, [, n]) => sum + Number(n), 0);
}

for (const [mode, dataPlane, tool] of [
  ['vxlan', 'userspace', 'nftables'],
  ['vxlan', 'userspace', 'iptables'],
  ['udp', 'userspace', 'nftables'],
  ['udp', 'userspace', 'iptables'],
  ['vxlan', 'kernel', 'nftables'],
] as const)
  t.test(
    `forged tunnel datagrams of a pod, ${mode}, ${dataPlane}, ${tool}: none arrives`,
    { skip: SKIP.skip || (dataPlane === 'kernel' && skipUnless('vxlan')) },
    async t => {
      const lab = labFor(t, { podsPerNode: 2 });
      const isDual = mode === 'vxlan';
      const dual = isDual ? { EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' } : {};
      const store = fileStoreFor(t, { ...dual, Backend: { Type: mode } });
      const flags = ['--ip-masq', `--traffic-manager=${tool}`, `--data-plane=${dataPlane}`];
      const { agents } = agentsFor(t, lab, [...store.flags, ...flags]);
      for (const agent of agents) agent.rememberSubnet();
      for (const agent of agents) agent.start();
      await Promise.all(agents.map(agent => agent.ready(1)));
      const [one, two] = lab.nodes as [Node, Node];
      const [attacker, neighbour] = one.pods;
      const port = mode === 'udp' ? 8285 : 8472;
      const families = isDual ? ([4, 6] as const) : ([4] as const);
      for (const node of lab.nodes)
        node.ns.sysctl('net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.cni0.rp_filter=0');

      const wrap = (packet: Buffer, from: Node, to: Node, family: 4 | 6): Buffer => {
        if (mode === 'udp') return packet;
        const device = family === 4 ? 'flannel.1' : 'flannel-v6.1';
        return inVxlan(packet, macOf(from, device), macOf(to, device));
      };
      const far = await victim(two.pods[0]!.ns);
      const near = await victim(neighbour!.ns);
      const stream = new PingStream(one, two);
      await until('the first pings', () => stream.reached > 5);

      // A process of the host sends what a pod may not: it arrives, so the datagrams are well formed.
      for (const family of families) {
        const honest = udpPacket(
          one.pods[0]!.address[family],
          two.pods[0]!.address[family],
          PORT,
          `host ${family}`,
        );
        send(one.ns, [], two.underlay[family], port, wrap(honest, one, two, family), one.underlay[family]);
        await far.saying(new RegExp(`got host ${family}`));
      }

      let attacks = 0;
      const attack = (
        to: string,
        at: number,
        bytes: Buffer,
        before: readonly string[] = NOBODY,
        from = '',
      ): void => {
        send(attacker!.ns, before, to, at, bytes, from);
        attacks += 3;
      };
      for (const family of families) {
        const inner = udpPacket(neighbour!.address[family], two.pods[0]!.address[family], PORT, 'forged');
        attack(two.underlay[family], port, wrap(inner, one, two, family));
        // Source address of the peer, as CAP_NET_RAW would write it, towards this node.
        const fake = two.underlay[family];
        attacker!.ns.ip(
          `addr add ${fake}/${family === 4 ? 32 : 128} dev eth0${family === 6 ? ' nodad' : ''}`,
        );
        const back = udpPacket(two.pods[0]!.address[family], neighbour!.address[family], PORT, 'forged');
        attack(one.underlay[family], port, wrap(back, two, one, family), [], fake);
        attacker!.ns.ip(`addr del ${fake}/${family === 4 ? 32 : 128} dev eth0`);
        // This node by its address in the pod network.
        attack(one.gateway[family], port, wrap(back, two, one, family));
      }
      // A Service that leads there.
      one.ns.must(
        ['nft', '-f', '-'],
        `table ip service {\n chain pre {\n type nat hook prerouting priority dstnat\n ip daddr ${SERVICE} udp dport 53 dnat to ${two.underlay[4]}:${port}\n }\n}\n`,
      );
      const inner = udpPacket(neighbour!.address[4], two.pods[0]!.address[4], PORT, 'forged');
      attack(SERVICE, 53, wrap(inner, one, two, 4));
      await until('the rules to have dropped all of them', () => dropped(one, tool) >= attacks);

      // What pods send to that port of each other is theirs.
      const listener =
        'const s=require("dgram").createSocket("udp4");s.on("message",m=>console.log("got "+m));s.bind(+process.argv[1],()=>console.log("listening"))';
      const peer = two.pods[1]!.ns.launch([process.execPath, '-e', listener, String(port)]);
      await peer.saying(/listening/);
      send(attacker!.ns, NOBODY, two.pods[1]!.address[4], port, Buffer.from('pod to pod'));
      await peer.saying(/got pod to pod/);

      // Whatever was on the way before these has arrived when they have.
      send(attacker!.ns, NOBODY, two.pods[0]!.address[4], PORT, Buffer.from('last'));
      send(attacker!.ns, NOBODY, neighbour!.address[4], PORT, Buffer.from('last'));
      await Promise.all([far, near].map(proc => proc.saying(/got last/)));
      for (const proc of [far, near]) t.notMatch(proc.stdout, /forged/);
      const outcome = await stream.end();
      t.equal(outcome.lost, 0, `${outcome.sent} pings`);

      await agents[0]!.stop();
      const { stateDir, subnetFile } = agents[0]!;
      one.ns.must([process.execPath, MAIN, 'cleanup', '--state-dir', stateDir, '--subnet-file', subnetFile]);
      const left = one.ns.must(['nft', 'list', 'ruleset']);
      t.notMatch(left, /from-pods|RIPSTOP-/, 'cleanup takes the rules away');
    },
  );

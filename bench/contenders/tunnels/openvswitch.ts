import { mkdirSync } from 'node:fs';
import type { Family } from '../../../encap/encap.ts';
import { must } from '../../../src/lab/command.ts';
import { scratch } from '../../../src/lab/namespace.ts';
import type { Proc } from '../../../src/lab/proc.ts';
import { type Lab, type Node, UNDERLAY_DEVICE } from '../../../src/lab/topology.ts';
import type { Contender } from '../contender.ts';
import { deployTunnel, macOf, needs, otherOf, versionBy } from './tunnel.ts';

/** Bridge whose own port is the overlay device. */
const OVERLAY = 'ovs0';
/** Bridge that has the underlay: a tunnel of the userspace datapath leaves only through a port of its own. */
const PHYSICAL = 'ovsphy';
const MTU = { 4: 1450, 6: 1430 } as const;
const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';

/** Open vSwitch with its userspace datapath (netdev): VXLAN, ports over AF_PACKET and TAP. */
export const openvswitch: Contender = {
  label: 'Open vSwitch',
  unavailable: needs('openvswitch-switch', 'ovs-vswitchd', 'ovsdb-server', 'ovsdb-tool', 'ovs-vsctl'),
  version: versionBy(['ovs-vswitchd', '--version'], /Open vSwitch\) (\S+)/),
  deploy: (lab, { underlay }) =>
    deployTunnel(lab, {
      device: OVERLAY,
      layer: 2,
      mtu: MTU[underlay],
      start,
      configure: node => configure(lab, node, underlay),
      restore,
    }),
};

const folderOf = (node: Node) => `${scratch()}/${node.ns.name}-ovs`;
const environment = (node: Node) => ({
  OVS_RUNDIR: folderOf(node),
  OVS_LOGDIR: folderOf(node),
  OVS_DBDIR: folderOf(node),
});
const socketOf = (node: Node) => `unix:${folderOf(node)}/db.sock`;

function control(node: Node, ...words: string[]): boolean {
  return node.ns.attempt(['ovs-vsctl', `--db=${socketOf(node)}`, '--timeout=5', ...words]).code === 0;
}

function start(node: Node): Proc[] {
  const folder = folderOf(node);
  mkdirSync(folder, { recursive: true });
  must(['ovsdb-tool', 'create', `${folder}/conf.db`, SCHEMA]);
  const env = environment(node);
  const database = node.ns.launch(['ovsdb-server', `--remote=p${socketOf(node)}`, `${folder}/conf.db`], {
    env,
  });
  // A TAP whose address changes later is taken down for it.
  const own = `other-config:hwaddr="${macOf(node)}"`;
  const bridge = ['--', 'set', 'bridge', OVERLAY, 'datapath_type=netdev', own];
  // vswitchd waits for the database; what is configured now it makes as soon as it runs.
  const waiting = ['ovs-vsctl', `--db=${socketOf(node)}`, '--timeout=5', '--retry', '--no-wait'];
  must([...waiting, 'init', '--', 'add-br', OVERLAY, ...bridge]);
  return [database, node.ns.launch(['ovs-vswitchd', socketOf(node)], { env })];
}

/** Moves the underlay into a bridge and adds the tunnel to the peer. */
function configure(lab: Lab, node: Node, underlay: Family): boolean {
  const vxlan = ['type=vxlan', `options:remote_ip=${otherOf(lab, node).underlay[underlay]}`, 'options:key=1'];
  const bridged = control(
    node,
    ...['--may-exist', 'add-br', PHYSICAL, '--', 'set', 'bridge', PHYSICAL, 'datapath_type=netdev'],
    ...['--', '--may-exist', 'add-port', PHYSICAL, UNDERLAY_DEVICE],
    ...['--', '--may-exist', 'add-port', OVERLAY, 'tunnel', '--', 'set', 'interface', 'tunnel', ...vxlan],
  );
  if (!bridged) return false;
  address(node, UNDERLAY_DEVICE, PHYSICAL);
  return true;
}

/** Gives the underlay addresses of the node to another device. */
function address(node: Node, from: string, to: string): void {
  node.ns.ip(
    `addr flush dev ${from}`,
    `link set ${to} up`,
    `addr replace ${node.underlay[4]}/24 dev ${to}`,
    `addr replace ${node.underlay[6]}/64 dev ${to} nodad`,
  );
}

function restore(node: Node): void {
  for (const device of [PHYSICAL, 'ovs-netdev']) node.ns.attempt(['ip', 'link', 'delete', device]);
  address(node, UNDERLAY_DEVICE, UNDERLAY_DEVICE);
}

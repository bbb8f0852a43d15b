import t from 'tap';
import type { NetError } from '../../../src/net/error.ts';
import { changeBridge, changeBridgePort } from '../../../src/net/rtnetlink/bridge-port.ts';
import {
  changeLink,
  createLink,
  deleteLink,
  findLink,
  getLink,
  type LinkSpec,
  listLinks,
} from '../../../src/net/rtnetlink/links.ts';
import { kernelFor } from '../../fixtures/agents/kernel.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* What is asked of the kernel here is read back with iproute2. */

const skip = skipUnless('root', 'netns', 'ip');

/** Does what only some kernels are built with. @returns the reason for skipping, when this one is not */
function lacks(what: string, action: () => void): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    if ((error as NetError).code === 'EOPNOTSUPP') return `this kernel has no ${what}`;
    throw error;
  }
}

/** The kinds that every kernel has that Ripstop runs on; others only where theirs is built. */
const made = (socket: Parameters<typeof createLink>[0], spec: LinkSpec) =>
  lacks(spec.kind, () => createLink(socket, spec));

t.test('a veth pair across namespaces', { skip }, async t => {
  const here = kernelFor(t);
  const there = kernelFor(t);
  createLink(here.socket, {
    kind: 'veth',
    name: 'left',
    mtu: 1400,
    mac: '02:00:00:00:00:01',
    txQueueLength: 77,
    up: true,
    peer: { name: 'right', mac: '02:00:00:00:00:02', mtu: 1300, netns: there.ns.path },
  });
  const [left] = here.ip('link', 'show', 'left');
  const [right] = there.ip('link', 'show', 'right');
  t.match(left, { mtu: 1400, address: '02:00:00:00:00:01', txqlen: 77, linkinfo: { info_kind: 'veth' } });
  t.match(right, { mtu: 1300, address: '02:00:00:00:00:02' });
  t.ok(left.flags.includes('UP'));
  const read = getLink(there.socket, 'right');
  t.match(read, { kind: 'veth', mtu: 1300, mac: '02:00:00:00:00:02', up: false, index: right.ifindex });
  t.equal(read.parent, left.ifindex, 'knows the other end');

  t.ok(deleteLink(here.socket, 'left'), 'deleted');
  t.notOk(deleteLink(here.socket, 'left'), 'deleting again does not fail');
  t.equal(findLink(there.socket, 'right'), undefined, 'the other end went with it');
  t.throws(() => getLink(here.socket, 'left'), { code: 'ENODEV' });
});

t.test('settings of a link', { skip }, async t => {
  const { socket, ip } = kernelFor(t);
  createLink(socket, { kind: 'veth', name: 'a', peer: { name: 'b' } });
  const { index } = getLink(socket, 'a');
  changeLink(socket, index, {
    up: true,
    mtu: 1234,
    mac: '0a:00:00:00:00:09',
    alias: 'pod ä',
    promiscuous: true,
    allMulticast: true,
    txQueueLength: 5,
  });
  const [shown] = ip('link', 'show', 'a');
  t.match(shown, {
    mtu: 1234,
    address: '0a:00:00:00:00:09',
    ifalias: 'pod ä',
    promiscuity: 1,
    txqlen: 5,
  });
  t.match(shown.flags, ['NO-CARRIER', 'BROADCAST', 'MULTICAST', 'ALLMULTI', 'PROMISC', 'UP']);
  t.match(getLink(socket, index), { mtu: 1234, alias: 'pod ä', up: true });
  changeLink(socket, index, { promiscuous: false, up: false });
  t.notMatch(ip('link', 'show', 'a')[0].flags, ['PROMISC']);
  changeLink(socket, index, { name: 'renamed-device' });
  t.equal(getLink(socket, index).name, 'renamed-device');
  t.throws(() => changeLink(socket, index, { name: 'much-too-long-for-it' }), { code: 'EINVAL' });
  t.throws(() => changeLink(socket, index, { mtu: 9_999_999 }), {
    code: 'EINVAL',
    kernelText: /mtu greater than device maximum/,
  });
});

t.test('a bridge and its ports', { skip }, async t => {
  const { socket, ip } = kernelFor(t);
  createLink(socket, { kind: 'bridge', name: 'cni0', up: true });
  createLink(socket, { kind: 'veth', name: 'p', peer: { name: 'q' } });
  const bridge = getLink(socket, 'cni0');
  const port = getLink(socket, 'p');
  t.equal(bridge.details.bridge?.vlanFiltering, false);
  changeLink(socket, port.index, { master: bridge.index });
  changeBridgePort(socket, port.index, { hairpin: true, isolated: true });
  const [shown] = ip('link', 'show', 'p');
  t.equal(shown.master, 'cni0');
  t.match(shown.linkinfo.info_slave_data, { hairpin: true, isolated: true });
  t.equal(getLink(socket, 'p').master, bridge.index);
  const missing = lacks('CONFIG_BRIDGE_VLAN_FILTERING', () =>
    changeBridge(socket, bridge.index, { vlanFiltering: true }),
  );
  if (missing) t.pass('VLAN filtering', { skip: missing });
  else {
    t.match(ip('link', 'show', 'cni0')[0].linkinfo.info_data, { vlan_filtering: 1 });
    t.equal(getLink(socket, 'cni0').details.bridge?.vlanFiltering, true);
  }
  changeLink(socket, port.index, { master: 0 });
  t.equal(ip('link', 'show', 'p')[0].master, undefined);
  t.throws(() => changeBridgePort(socket, port.index, { hairpin: true }), { name: 'NetError' });
});

t.test('vxlan, macvlan, ifb', { skip }, async t => {
  const { socket, ip } = kernelFor(t);
  createLink(socket, { kind: 'veth', name: 'up0', up: true, peer: { name: 'up1' } });
  const parent = getLink(socket, 'up0').index;
  createLink(socket, {
    kind: 'vxlan',
    name: 'flannel.7',
    parent,
    mac: '0a:11:22:33:44:55',
    vxlan: { vni: 7, local: '192.0.2.1', port: 4789, learning: false, gbp: false },
  });
  t.match(ip('link', 'show', 'flannel.7')[0], {
    address: '0a:11:22:33:44:55',
    linkinfo: {
      info_kind: 'vxlan',
      info_data: { id: 7, local: '192.0.2.1', port: 4789, learning: false, link: 'up0' },
    },
  });
  t.match(getLink(socket, 'flannel.7').details.vxlan, { vni: 7, local: '192.0.2.1', port: 4789 });
  const vxlan = { vni: 9, local: 'fd00::1', port: 8472, learning: true, gbp: true };
  createLink(socket, { kind: 'vxlan', name: 'six', vxlan });
  t.match(ip('link', 'show', 'six')[0].linkinfo.info_data, {
    local6: 'fd00::1',
    port: 8472,
    learning: true,
    gbp: true,
  });
  t.match(getLink(socket, 'six').details.vxlan, { local: 'fd00::1', learning: true, gbp: true });
  createLink(socket, { kind: 'macvlan', name: 'mac0', parent, macvlan: { mode: 'private' } });
  t.match(ip('link', 'show', 'mac0')[0], { link: 'up0', linkinfo: { info_data: { mode: 'private' } } });
  t.equal(getLink(socket, 'mac0').details.macvlan?.mode, 'private');
  const missing = made(socket, { kind: 'ifb', name: 'ifb9' });
  if (missing) t.pass('ifb', { skip: missing });
  else t.equal(ip('link', 'show', 'ifb9')[0].linkinfo.info_kind, 'ifb');
});

t.test('vlan', { skip }, async t => {
  const { socket, ip } = kernelFor(t);
  createLink(socket, { kind: 'veth', name: 'up0', peer: { name: 'up1' } });
  const parent = getLink(socket, 'up0').index;
  const missing = made(socket, { kind: 'vlan', name: 'tagged', parent, vlan: { id: 42 } });
  if (missing) return void t.pass('left out', { skip: missing });
  t.match(ip('link', 'show', 'tagged')[0].linkinfo, { info_kind: 'vlan', info_data: { id: 42 } });
  t.equal(getLink(socket, 'tagged').details.vlan?.id, 42);
});

t.test('ipvlan', { skip }, async t => {
  const { socket, ip } = kernelFor(t);
  createLink(socket, { kind: 'veth', name: 'up0', peer: { name: 'up1' } });
  const parent = getLink(socket, 'up0').index;
  const missing = made(socket, { kind: 'ipvlan', name: 'ipv0', parent, ipvlan: { mode: 'l3' } });
  if (missing) return void t.pass('left out', { skip: missing });
  t.match(ip('link', 'show', 'ipv0')[0].linkinfo, { info_kind: 'ipvlan', info_data: { mode: 'l3' } });
  t.equal(getLink(socket, 'ipv0').details.ipvlan?.mode, 'l3');
});

t.test('dummy', { skip }, async t => {
  const { socket, ip } = kernelFor(t);
  const missing = made(socket, { kind: 'dummy', name: 'dummy9' });
  if (missing) return void t.pass('left out', { skip: missing });
  t.equal(ip('link', 'show', 'dummy9')[0].linkinfo.info_kind, 'dummy');
});

t.test('a long list is whole', { skip }, async t => {
  const { socket, ip } = kernelFor(t);
  for (let i = 0; i < 60; i++)
    createLink(socket, { kind: 'veth', name: `left${i}`, peer: { name: `right${i}` } });
  const shown = ip('link').map(link => `${link.ifindex} ${link.ifname} ${link.mtu} ${link.address}`);
  const read = listLinks(socket).map(link => `${link.index} ${link.name} ${link.mtu} ${link.mac}`);
  t.same(read.sort(), shown.sort());
});

t.test('refusals say what and why', { skip }, async t => {
  const { socket } = kernelFor(t);
  createLink(socket, { kind: 'bridge', name: 'br0' });
  t.throws(() => createLink(socket, { kind: 'bridge', name: 'br0' }), {
    code: 'EEXIST',
    message: /create bridge device br0: .*\(EEXIST\)/,
  });
  for (const name of ['', '.', '..', 'a/b', 'a b', 'a:b', 'sixteen-bytes-xx', 'äöüäöüäö'])
    t.throws(
      () => createLink(socket, { kind: 'bridge', name }),
      { code: 'EINVAL' },
      `name ${JSON.stringify(name)}`,
    );
  t.throws(
    () => createLink(socket, { kind: 'veth', name: 'x', peer: { name: 'y', netns: '/run/netns/nowhere' } }),
    { code: 'ENOENT', message: /nowhere/ },
  );
  t.equal(findLink(socket, 'x'), undefined, 'nothing was made');
  t.throws(
    () => createLink(socket, { kind: 'veth', name: 'x', peer: { name: 'y', netns: '/etc/hostname' } }),
    {
      name: 'NetError',
    },
  );
});

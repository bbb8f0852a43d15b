import t from 'tap';
import { ResolvedSettings } from '../../../src/agent/config/settings.ts';
import { FormerState } from '../../../src/agent/kernel/former-state.ts';
import { Overlay } from '../../../src/agent/overlay/overlay.ts';
import { createLog } from '../../../src/base/log.ts';
import type { Peer } from '../../../src/dataplane/descriptor/peer.ts';
import { requireAddress } from '../../../src/ip/address.ts';
import { requirePrefix } from '../../../src/ip/prefix.ts';
import { addAddress } from '../../../src/net/rtnetlink/addresses.ts';
import { changeLink, createLink, deleteLink, getLink } from '../../../src/net/rtnetlink/links.ts';
import { kernelFor } from '../../fixtures/agents/kernel.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* One overlay whose peers change at awkward moments. */

const skip = skipUnless('root', 'netns', 'tun');
const PEER = (n: number, more: Partial<Peer> = {}): Peer => ({
  id: `10.7.${n}.0-24`,
  node: undefined,
  address: `192.0.2.${n}`,
  mac: `0a:00:00:00:00:${n.toString(16).padStart(2, '0')}`,
  remoteChecksum: false,
  direct: false,
  subnets: [requirePrefix(`10.7.${n}.0/24`)],
  hosts: [requireAddress(`192.0.2.${n}`)],
  ...more,
});

/** An overlay of vxlan in a namespace of its own. `opening` is called when its data plane has opened the device. */
async function carrierFor(
  owner: Parameters<typeof kernelFor>[0],
  peers: Peer[],
  opening: () => void = () => {},
) {
  const { socket, ns } = kernelFor(owner);
  createLink(socket, { kind: 'veth', name: 'u', up: true, peer: { name: 'v' } });
  changeLink(socket, getLink(socket, 'v').index, { up: true });
  const { index } = getLink(socket, 'u');
  addAddress(socket, { link: index, prefix: '192.0.2.1/24' });
  const log = createLog('silent');
  log.info = ((_fields: object, text: string) => {
    if (text?.startsWith('offloads')) opening();
  }) as typeof log.info;
  const underlay = {
    index,
    name: 'u',
    mtu: 1500,
    address4: '192.0.2.1',
    address6: undefined,
    public4: undefined,
    public6: undefined,
  };
  const plan = {
    mode: 'vxlan',
    family: 4,
    carries: [4],
    device: 'flannel.1',
    port: 8472,
    vni: 1,
    address: '192.0.2.1',
    subnets: ['10.7.1.0/24'],
    networks: ['10.7.0.0/16'],
    mtu: 1450,
    mac: '0a:00:00:00:00:01',
  } as const;
  const backend = {
    type: 'vxlan',
    vni: 1,
    port: 8472,
    mtu: 0,
    gbp: false,
    learning: false,
    directRouting: true,
  } as const;
  const start = async (workers: number, ownDevices: readonly string[] = []) => {
    const overlay = await Overlay.prepare(
      plan,
      backend,
      underlay,
      {
        netns: ns.path,
        dataPlane: 'userspace',
        settings: { ...new ResolvedSettings({}).values, workers },
        keepState: true,
        ownDevices,
        formerNetworks: [],
        former: new FormerState(),
        log,
      },
      peers,
    );
    try {
      overlay.open();
      return overlay;
    } catch (error) {
      await overlay.stop();
      throw error;
    }
  };
  const overlay = await start(1);
  owner.teardown(() => overlay.stop(true));
  overlay.change({ set: [], removed: [] });
  const routes = (): string[] =>
    ns
      .must(['ip', 'route', 'show', 'proto', '114'])
      .split('\n')
      .filter(Boolean)
      .map(line => line.split(' ')[0]!)
      .sort();
  return { overlay, socket, routes, start };
}

t.test(
  'peers that change while a lost device is created again: the new data plane has them',
  { skip },
  async t => {
    let opened = () => {};
    const { overlay, socket, routes } = await carrierFor(t, [PEER(2), PEER(3)], () => opened());
    deleteLink(socket, 'flannel.1');
    opened = () =>
      queueMicrotask(() => {
        const set = [PEER(3, { mac: '0a:00:00:00:00:33' }), PEER(4)];
        overlay.change({ set, removed: [PEER(2).id] });
      });
    await overlay.reconcile();
    t.equal(overlay.rebuilt, 1);
    const macs = overlay.plane!.peers.map(({ mac }) => mac).sort();
    t.same(macs, ['0a:00:00:00:00:04', '0a:00:00:00:00:33']);
    t.same(routes(), ['10.7.3.0/24', '10.7.4.0/24']);
  },
);

t.test('a refused peer is tried again, and changes of others cost as before', { skip }, async t => {
  const { overlay, socket, routes } = await carrierFor(t, [PEER(2)]);
  t.notOk(overlay.mustCompare);
  const { dumps } = overlay.work;
  // A plain route by way of an address that nothing here is connected to.
  const far = { address: '198.51.100.9', hosts: [requireAddress('198.51.100.9')], direct: true };
  overlay.change({ set: [PEER(9, far)], removed: [] });
  t.same([...overlay.refused.keys()], [PEER(9).id]);
  t.ok(overlay.mustCompare, 'it is to be tried again');
  overlay.change({ set: [PEER(3)], removed: [] });
  overlay.change({ set: [], removed: [PEER(2).id] });
  t.equal(overlay.work.dumps, dumps, 'no comparison for the others');
  t.same(routes(), ['10.7.3.0/24']);
  await overlay.reconcile();
  t.equal(overlay.work.dumps, dumps + 1);
  t.same([...overlay.refused.keys()], [PEER(9).id], 'still refused');
  addAddress(socket, { link: getLink(socket, 'u').index, prefix: '198.51.100.1/24' });
  await overlay.reconcile();
  t.same(routes(), ['10.7.3.0/24', '10.7.9.0/24']);
  t.equal(overlay.refused.size, 0);
  t.notOk(overlay.mustCompare);
});

t.test('device of another shape: created again where it is ours and not in use', { skip }, async t => {
  const { overlay, socket, start } = await carrierFor(t, []);
  const { index } = getLink(socket, 'flannel.1');
  const refused = { code: 'EINUSE', message: /taken by a tap device/ };
  await t.rejects(start(2, ['flannel.1']), refused, 'a process holds it');
  await overlay.plane!.stop();
  await t.rejects(start(2), refused, 'no agent of this node made it');
  t.equal(getLink(socket, 'flannel.1').index, index);
  const next = await start(2, ['flannel.1']);
  t.match(getLink(socket, 'flannel.1').details.tun, { multiQueue: true, persistent: true });
  await next.stop();
});

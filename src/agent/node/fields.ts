import {
  fail,
  flag,
  integer,
  listOf,
  objectOf,
  oneOf,
  required,
  text,
  withDefault,
} from '../../base/schema.ts';
import { isLinkName } from '../../net/rtnetlink/links.ts';
import { address, autoOr, listed, mac, subnet } from './values.ts';

/*
 * The keys of the file that `ripstop run --config` reads. This table is the only place where they are described:
 * reading, messages and docs/configuration.md come from it.
 */

export const peerFields = {
  name: required(text('a name', 'identifies the peer in logs, counters and captures', /^[\w.:-]{1,63}$/)),
  address: required(address('underlay address, of the family of the own one')),
  subnets: required(
    listed(subnet('pod subnet'), 'pod subnets that the peer owns; it may send from no others'),
  ),
  mac: mac(
    'MAC of its VTEP (vxlan); needed only for a peer that does not derive it as Ripstop does, such as a kernel VXLAN',
  ),
  port: integer(1, 65535, 'UDP port, when it is not that of this node'),
  remoteChecksum: withDefault(
    flag(
      'leave inner checksums to each other (vxlan): less work, the outer checksum covers them; set it on both nodes, or on a kernel VXLAN remcsumtx and remcsumrx',
    ),
    false,
  ),
};

const on = (doc: string) => withDefault(flag(doc), true);

export const offloadFields = {
  csum: on("checksums of pods' packets are left to Ripstop; the base of tso and uso"),
  tso: on('TCP superframes from the device'),
  uso: on('UDP superframes from the device (Linux 6.2)'),
  udpGso: on('many datagrams in one message to the underlay (Linux 4.18)'),
  udpGro: on('many datagrams in one message from the underlay (Linux 5.0)'),
  mergeTcp: on('TCP segments merged before they are written to the device'),
  mergeUdp: on('UDP datagrams merged before they are written to the device'),
};

const GATE = ['strict', 'off'] as const;
const UNFINISHED = ['auto', 'accept', 'refuse'] as const;

export const nodeFields = {
  mode: withDefault(oneOf(['vxlan', 'udp'], "wire format: RFC 7348, or flannel's udp backend"), 'vxlan'),
  subnets: required(listed(subnet('pod subnet'), 'pod subnets of this node')),
  peers: withDefault(listOf(objectOf(peerFields, 'a peer'), 'the other nodes; read again on SIGHUP'), []),
  networks: withDefault(
    listOf(subnet('network'), 'cluster networks; udp mode routes them whole to the device'),
    [],
  ),
  underlay: withDefault(
    text(
      'auto | interface | address',
      'where the peers are reached; auto: the interface of the default route',
    ),
    'auto',
  ),
  port: integer(1, 65535, 'UDP port; 8472 in vxlan mode and 8285 in udp mode, as flannel'),
  vni: withDefault(integer(0, 0xffffff, 'VXLAN network identifier, equal on all nodes'), 1),
  device: {
    ...text('a device name', 'name of the device; flannel.<vni> in vxlan mode and flannel0 in udp mode'),
    read(raw: unknown, where: string): string {
      if (typeof raw === 'string' && isLinkName(raw)) return raw;
      return fail(
        where,
        `${JSON.stringify(raw)} is not a device name`,
        '1 to 15 bytes, no blank, slash or colon',
      );
    },
  },
  driver: withDefault(
    oneOf(
      ['native', 'tuntap2'],
      "what makes the device: Ripstop's own, or the package node-tuntap2, a packet a call, for comparison",
    ),
    'native',
  ),
  mac: mac('MAC of the own VTEP (vxlan); derived from vni and underlay address when left out'),
  mtu: withDefault(
    autoOr({
      ...integer(
        68,
        65535,
        'largest packet of a pod; auto: what the underlay takes less the overhead',
        'bytes',
      ),
    }),
    'auto' as number | 'auto',
  ),
  flood: withDefault(flag('copy broadcast and multicast to every peer'), false),
  gate: withDefault(
    oneOf(GATE, 'strict: drop what comes from an inner source that its peer does not own'),
    'strict',
  ),
  unfinishedChecksums: withDefault(
    oneOf(
      UNFINISHED,
      'inner checksums that a kernel VXLAN on this same host leaves unfinished; auto: accept where the underlay is a veth',
    ),
    'auto',
  ),
  offloads: withDefault(objectOf(offloadFields, 'each can be switched off'), {
    csum: true,
    tso: true,
    uso: true,
    udpGso: true,
    udpGro: true,
    mergeTcp: true,
    mergeUdp: true,
  }),
  workers: withDefault(integer(1, 32, 'queues of device and underlay, each with a thread a direction'), 1),
  sourcePorts: withDefault(
    integer(
      1,
      64,
      'outer source ports that flows are spread over, so that routers can tell them apart (vxlan)',
    ),
    16,
  ),
  spin: withDefault(
    integer(
      0,
      10_000,
      'how long at most a thread looks for more before it sleeps; it learns whether that pays, and lets others run before each look',
      'microseconds',
    ),
    200,
  ),
  txQueueLength: withDefault(
    integer(1, 100_000, 'packets that the device keeps while Ripstop is busy', 'packets'),
    1000,
  ),
  flowTable: withDefault(
    flag('count flows all the time, for `ripstop flows`; else counting begins when somebody asks'),
    false,
  ),
  namespace: withDefault(
    text('a name of ip netns, or a path', 'network namespace that the overlay lives in; empty: the own one'),
    '',
  ),
};

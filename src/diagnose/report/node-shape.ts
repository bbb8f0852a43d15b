import {
  boolean,
  type Field,
  fail,
  integer,
  listOf,
  nullable,
  oneOf,
  openObject,
  record,
  required,
  string,
  type ValueOf,
} from '../../base/schema.ts';
import { address, mac, network } from './kernel-shapes.ts';

/*
 * What a trace and a replay need of the agent of a report: overlays with the peers as the forwarding tables have them, and the
 * rules that the agent keeps.
 */

/** More than a node has; each costs time to read. */
const OVERLAYS_MAX = 4;
const PEERS_MAX = 65_534;
const NETWORKS_MAX = 4;

function atMost<T>(most: number, item: Field<T>): Field<T[]> {
  const list = listOf(item);
  return {
    ...list,
    read(raw, where) {
      if (Array.isArray(raw) && raw.length > most)
        fail(where, `${raw.length} entries`, `there are at most ${most}`);
      return list.read(raw, where);
    },
  };
}

const port = integer(0, 65_535, '');
const mtu = integer(68, 65_535, '');
const family: Field<4 | 6> = integer(4, 6, '') as Field<4 | 6>;

const peer = openObject(
  {
    id: required(string),
    node: string,
    address: required(address),
    port,
    mac,
    subnets: required(atMost(NETWORKS_MAX, network)),
    hosts: atMost(NETWORKS_MAX, address),
    remoteChecksum: boolean,
    ignoresEcn: boolean,
    direct: boolean,
    pathMtu: mtu,
  },
  'a peer',
);

const overlay = openObject(
  {
    mode: required(oneOf(['vxlan', 'udp', 'host-gw'])),
    device: string,
    mac,
    address: required(address),
    port,
    vni: required(integer(0, 0xffffff, '')),
    subnets: required(atMost(NETWORKS_MAX, network)),
    networks: required(atMost(NETWORKS_MAX, network)),
    peers: required(atMost(PEERS_MAX, peer)),
    plane: openObject(
      {
        ...{ mtu: required(mtu), underlayMtu: required(mtu) },
        ...{ flood: required(boolean), sourceCheck: required(boolean) },
        copyDscp: boolean,
        ownSubnets: atMost(NETWORKS_MAX, network),
        acceptPartialChecksums: required(boolean),
        sourcePorts: required(listOf(port)),
        leavesChecksums: required(boolean),
      },
      '',
    ),
  },
  'an overlay',
);

const ruleSet = openObject(
  {
    families: required(
      listOf(
        openObject(
          {
            ...{ family: required(family), cluster: required(network), pods: required(network) },
            ...{ underlay: address, outside: string, published: string },
            hostSources: listOf(address),
            noTransitFrom: string,
          },
          'the rules of a family',
        ),
      ),
    ),
    ...{ masquerade: required(boolean), fullyRandom: required(boolean), forward: required(boolean) },
    tunnelPort: port,
    guard: openObject(
      {
        underlay: required(string),
        podInterfaces: required(listOf(string)),
        nodeNetworks: required(listOf(record({ family, cidr: network }))),
      },
      '',
    ),
  },
  'rules',
);

/** The file of a node in a report; `nodeRecordOf` makes it. */
export const nodeRecord = record({
  name: string,
  netns: string,
  underlay: string,
  overlays: atMost(OVERLAYS_MAX, overlay),
  rules: nullable(ruleSet),
  hasRules: boolean,
});

export type NodeRecord = ValueOf<typeof nodeRecord>;

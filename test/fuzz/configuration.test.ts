import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parseNetConf } from '../../src/agent/config/net-conf.ts';
import { parseSubnetEnv as readPrevious } from '../../src/agent/config/subnet-env.ts';
import { findAccess } from '../../src/agent/store/kube/access.ts';
import { networkConfigOf, parseStaticFile, peerLease } from '../../src/agent/store/static/static-file.ts';
import { parseSubnetEnv } from '../../src/ip/subnet-env.ts';
import { bytesOf, campaign, refusing, textOf } from './campaign/campaign.ts';
import { alterJson, alterText } from './campaign/mutate-text.ts';

/* Files that persons, flannel and clouds write: they are read whole, or refused with ECONFIG. */

const folder = mkdtempSync(join(tmpdir(), 'rs-fuzz-config-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

const NET_CONF = {
  Network: '10.244.0.0/16',
  EnableIPv6: true,
  IPv6Network: 'fd00:10:244::/48',
  SubnetLen: 24,
  SubnetMin: '10.244.1.0',
  SubnetMax: '10.244.200.0',
  EnableNFTables: true,
  Backend: {
    Type: 'vxlan',
    VNI: 1,
    Port: 8472,
    MTU: 1400,
    DirectRouting: true,
    Ripstop: { workers: 2, flowTable: true, offloads: { tso: false } },
  },
};

t.test('net-conf.json', async t => {
  await campaign(t, {
    name: 'net-conf',
    seeds: [NET_CONF, { Network: '10.0.0.0/8' }, { ...NET_CONF, Backend: { Type: 'udp' } }].map(config =>
      bytesOf(JSON.stringify(config)),
    ),
    alter: alterJson,
    parse: bytes =>
      refusing(() => {
        const text = textOf(bytes);
        parseNetConf(text, 'net-conf.json');
        parseNetConf(text, 'net-conf.json', { ranges: false, tolerateUnknown: true });
      }, 'ECONFIG'),
  });
});

const NODE_FILE = `mode: vxlan
vni: 1
underlay: 172.31.0.1
subnets: [10.244.1.0/24, "fd00:10:244:1::/64"]
peers:
  - name: node2
    address: 172.31.0.2
    subnets: [10.244.2.0/24]
    mac: "0a:00:00:00:00:02"
workers: 2
offloads: { udpGso: false }
`;

t.test('the YAML file of a node', async t => {
  await campaign(t, {
    name: 'node-yaml',
    pace: 300,
    seeds: [
      bytesOf(NODE_FILE),
      bytesOf(NODE_FILE.replace('mode: vxlan\nvni: 1', 'mode: udp')),
      bytesOf('mode: vxlan\nunderlay: fd31::1\nsubnets: ["fd00::/64"]\npeers: []\nx: &a [*a, *a]\n'),
    ],
    alter: alterText,
    parse: bytes =>
      refusing(() => {
        const file = parseStaticFile(textOf(bytes), 'node.yaml');
        networkConfigOf(file);
        for (const peer of file.peers) peerLease(peer, file);
      }, 'ECONFIG'),
  });
});

const KUBECONFIG = {
  'current-context': 'a',
  contexts: [{ name: 'a', context: { cluster: 'c', user: 'u' } }],
  clusters: [
    { name: 'c', cluster: { server: 'https://10.0.0.1:6443', 'certificate-authority-data': 'eA==' } },
  ],
  users: [{ name: 'u', user: { token: 'x', 'client-key-data': 'eA==' } }],
};

t.test('a kubeconfig', async t => {
  const file = join(folder, 'kubeconfig');
  await campaign(t, {
    name: 'kubeconfig',
    pace: 300,
    seeds: [
      bytesOf(JSON.stringify(KUBECONFIG)),
      bytesOf(
        'current-context: a\ncontexts:\n- name: a\n  context: {cluster: c}\nclusters:\n- {name: c, cluster: {server: "http://x"}}\n',
      ),
    ],
    alter: alterJson,
    parse: bytes => {
      writeFileSync(file, bytes);
      return refusing(() => void findAccess('', file).credentials?.(), 'ECONFIG');
    },
  });
});

t.test('subnet.env', async t => {
  const text =
    'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_IPV6_NETWORK=fd00::/48\n' +
    'FLANNEL_IPV6_SUBNET="fd00:0:0:3::1/64"\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n';
  await campaign(t, {
    name: 'subnet-env',
    seeds: [bytesOf(text), bytesOf('FLANNEL_NETWORK=10.0.0.0/8,10.1.0.0/16\n')],
    alter: alterText,
    parse: bytes => {
      const { mtu, subnets, networks } = parseSubnetEnv(textOf(bytes));
      if (mtu !== undefined && !(mtu >= 0 && mtu <= 65535)) throw new Error(`MTU ${mtu}`);
      for (const { family, length } of [...subnets, ...networks])
        if (length > (family === 4 ? 32 : 128)) throw new Error(`prefix length ${length}`);
      readPrevious(textOf(bytes));
      return subnets.length > 0 || networks.length > 0;
    },
  });
});

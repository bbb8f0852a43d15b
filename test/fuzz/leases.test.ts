import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { formatCheckpoint, parseCheckpoint } from '../../src/agent/inputs/checkpoint.ts';
import { formatAttributes, formatKey, parseAttributes, parseKey } from '../../src/agent/lease/lease.ts';
import { annotationNames, checkSubnets, readNode, toLease } from '../../src/agent/store/kube/node.ts';
import { openTable } from '../../src/agent/store/lease-file.ts';
import { parseJson } from '../../src/base/schema.ts';
import { bytesOf, campaign, refusing, textOf } from './campaign/campaign.ts';
import { alterJson, alterText } from './campaign/mutate-text.ts';

/* What stores hand out: every node of the cluster writes there. It is read whole, or refused with a code. */

const folder = mkdtempSync(join(tmpdir(), 'rs-fuzz-leases-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

const VALUE = {
  PublicIP: '172.31.0.2',
  PublicIPv6: 'fd31::2',
  BackendType: 'vxlan',
  BackendData: { VNI: 1, RipstopOffloadProofs: 1, VtepMAC: '0a:00:00:00:00:02' },
  BackendV6Data: { VNI: 1, VtepMAC: '0a:00:00:00:00:03' },
};

t.test('keys of leases', async t => {
  await campaign(t, {
    name: 'lease-key',
    seeds: ['10.5.34.0-24', '10.5.34.0-24&fc00:0:0:5::-64', '0.0.0.0-0&fc00::-64'].map(bytesOf),
    alter: alterText,
    parse: bytes => {
      const subnets = parseKey(textOf(bytes));
      if (!subnets) return false;
      // What is taken for a key has a key of its own, of the same subnets.
      const again = parseKey(formatKey(subnets));
      if (!again || formatKey(again) !== formatKey(subnets)) throw new Error(formatKey(subnets));
      return true;
    },
  });
});

t.test('values of leases', async t => {
  await campaign(t, {
    name: 'lease-value',
    seeds: [VALUE, { PublicIP: '172.31.0.2', PublicIPv6: null }].map(value => bytesOf(JSON.stringify(value))),
    alter: alterJson,
    parse: bytes =>
      refusing(() => {
        const read = parseAttributes(textOf(bytes), 'subnets/x');
        const again = parseAttributes(formatAttributes(read), 'subnets/x');
        if (formatAttributes(again) !== formatAttributes(read)) throw new Error(formatAttributes(read));
      }, 'ELEASE'),
  });
});

const names = annotationNames('flannel.alpha.coreos.com');
const NODE = {
  metadata: {
    name: 'n2',
    uid: 'u',
    resourceVersion: '7',
    creationTimestamp: '2026-01-02T03:04:05Z',
    annotations: {
      [names.managed]: 'true',
      [names.backendType]: 'vxlan',
      [names.backendData]: '{"VNI":1,"VtepMAC":"0a:00:00:00:00:02"}',
      [names.publicIp]: '172.31.0.2',
    },
  },
  spec: { podCIDR: '10.244.2.0/24', podCIDRs: ['10.244.2.0/24', 'fd00:10:244:2::/64'] },
  status: { conditions: [{ type: 'Ready', status: 'True' }] },
};

t.test('Node objects', async t => {
  const network = parseKey('10.244.0.0-16&fd00:10:244::-48')!;
  await campaign(t, {
    name: 'kube-node',
    seeds: [bytesOf(JSON.stringify(NODE))],
    alter: alterJson,
    parse: bytes =>
      refusing(
        () => {
          const node = readNode(parseJson(textOf(bytes), 'Node'), names);
          toLease(node, names);
          checkSubnets(node, network);
        },
        'ECONFIG',
        'ELEASE',
        'ENOLEASE',
      ),
  });
});

t.test('the single file of the file store', async t => {
  const path = join(folder, 'net.json');
  const table = openTable(path);
  const content = { config: { Network: '10.0.0.0/8' }, subnets: { '10.5.34.0-24': VALUE } };
  await campaign(t, {
    name: 'lease-file',
    pace: 300,
    seeds: [content, {}, { config: {} }].map(value => bytesOf(JSON.stringify(value))),
    alter: alterJson,
    async parse(bytes) {
      writeFileSync(path, bytes);
      try {
        const { config, entries } = await table.read();
        if (config !== undefined && typeof config !== 'string') throw new Error('no text');
        for (const [key, text] of entries)
          if (typeof key !== 'string' || typeof text !== 'string') throw new Error(key);
        return true;
      } catch (error) {
        if (['ECONFIG', 'ESTORE', 'ELEASE'].includes((error as { code: string }).code)) return false;
        throw error;
      }
    },
  });
});

t.test('the saved state of the previous run', async t => {
  const lease = { key: '10.5.34.0-24', v4: '10.5.34.0/24', attributes: VALUE, expiresAt: 7 };
  const saved = {
    version: 1,
    store: 'etcd http://127.0.0.1:2379',
    config: { text: '{}', source: 'config' },
    lease,
    leases: [lease],
    overrides: {},
    refused: [],
  };
  await campaign(t, {
    name: 'checkpoint',
    seeds: [bytesOf(JSON.stringify(saved))],
    alter: alterJson,
    parse: bytes => {
      let read: ReturnType<typeof parseCheckpoint>;
      const isJson = refusing(() => {
        read = parseCheckpoint(parseJson(textOf(bytes), 'last-known.json'));
      }, 'ECONFIG');
      if (!isJson || !read) return false;
      // What is loaded can be saved, and each lease has a subnet.
      formatCheckpoint(read);
      for (const one of [read.lease, ...read.leases.values()]) formatKey(one);
      return true;
    },
  });
});

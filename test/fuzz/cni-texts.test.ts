import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { readCniArgs } from '../../src/cni/config/runtime.ts';
import { readConfig as readDhcp } from '../../src/cni/ipam/dhcp/config.ts';
import { LeaseFiles } from '../../src/cni/ipam/dhcp/lease-files.ts';
import { readConfig as readHostLocal } from '../../src/cni/ipam/host-local/config.ts';
import { readResolvConf } from '../../src/cni/ipam/host-local/resolv-conf.ts';
import { AddressStore } from '../../src/cni/ipam/host-local/store.ts';
import { readConfig as readBridge } from '../../src/cni/main/bridge/config.ts';
import { readForDeletion, readConfig as readRipstop } from '../../src/cni/main/ripstop/config.ts';
import { readConfig as readFirewall } from '../../src/cni/meta/firewall/config.ts';
import { readConfig as readFlannel } from '../../src/cni/meta/flannel/config.ts';
import { SavedDelegates } from '../../src/cni/meta/flannel/saved-delegates.ts';
import { readMappings, readConfig as readPortmap } from '../../src/cni/meta/portmap/config.ts';
import { readConfig as readTuning } from '../../src/cni/meta/tuning/config.ts';
import { decodeError, decodeResult } from '../../src/cni/result/decode.ts';
import { encodeResult } from '../../src/cni/result/encode.ts';
import { parseInput } from '../../src/cni/skel/execute.ts';
import type { Call } from '../../src/cni/skel/plugin.ts';
import { ALL_VERSIONS } from '../../src/cni/skel/version.ts';
import { testHost } from '../unit/cni/fixtures/harness.ts';
import { bytesOf, campaign, refusing, textOf } from './campaign/campaign.ts';
import { alterJson, alterText } from './campaign/mutate-text.ts';

/* Configurations, results and files of runtimes and of other plugins: read whole, or refused with a CNI error code. */

const folder = mkdtempSync(join(tmpdir(), 'rs-fuzz-cni-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

/** Codes of the CNI specification; ECONFIG becomes 7 (skel/errors.ts). */
const CODES = ['ECONFIG', 1, 2, 3, 4, 5, 6, 7, 11, 50, 100, 999];

const PREV = {
  cniVersion: '1.0.0',
  interfaces: [{ name: 'cni0' }, { name: 'eth0', mac: '0a:00:00:00:00:01', sandbox: '/run/netns/x' }],
  ips: [{ address: '10.1.0.2/24', gateway: '10.1.0.1', interface: 1 }, { address: 'fd00::2/64' }],
  routes: [{ dst: '0.0.0.0/0', gw: '10.1.0.1', mtu: 1400 }],
  dns: { nameservers: ['10.0.0.10'], search: ['x.y'], options: ['ndots:5'] },
};

const CONFIG = {
  cniVersion: '1.0.0',
  name: 'net',
  type: 'bridge',
  bridge: 'cni0',
  isGateway: true,
  ipMasq: true,
  mtu: 1400,
  vlan: 7,
  delegate: { isDefaultGateway: true },
  subnetFile: '/run/flannel/subnet.env',
  dns: { nameservers: ['10.0.0.10'] },
  ipam: {
    type: 'host-local',
    ranges: [
      [{ subnet: '10.1.0.0/24', rangeStart: '10.1.0.9', gateway: '10.1.0.1' }],
      [{ subnet: 'fd00::/64' }],
    ],
    routes: [{ dst: '0.0.0.0/0' }],
    dataDir: 'networks',
  },
  sysctl: { 'net.core.somaxconn': '500' },
  mac: '0a:00:00:00:00:01',
  capabilities: { portMappings: true, ips: true, mac: true },
  runtimeConfig: {
    portMappings: [{ hostPort: 80, containerPort: 8080, protocol: 'tcp', hostIP: '10.0.0.1' }],
    ips: ['10.1.0.7/24'],
    mac: '0a:00:00:00:00:02',
    bandwidth: { ingressRate: 1000, ingressBurst: 1000 },
  },
  args: { cni: { ips: ['10.1.0.8'] } },
  prevResult: PREV,
  'cni.dev/valid-attachments': [{ containerID: 'c', ifname: 'eth0' }],
};

/** Each reads the configuration of one plugin; keys that belong to others are refused or ignored as it documents. */
const READERS: Readonly<Record<string, (call: Call) => unknown>> = {
  hostLocal: readHostLocal,
  bridge: readBridge,
  ripstop: call => readRipstop(call, undefined),
  deletion: readForDeletion,
  flannel: readFlannel,
  firewall: readFirewall,
  portmap: readPortmap,
  mappings: readMappings,
  tuning: readTuning,
  dhcp: readDhcp,
};

for (const [name, read] of Object.entries(READERS))
  t.test(`configuration: ${name}`, async t => {
    const { bridge, delegate, ...common } = CONFIG;
    await campaign(t, {
      name: `cni-config-${name}`,
      seeds: [
        CONFIG,
        { ...common, type: name },
        { bridge, name: 'net' },
        { delegate, name: 'net', cniVersion: '0.2.0' },
      ].map(config => bytesOf(JSON.stringify(config))),
      alter: alterJson,
      leastAccepted: 0,
      parse: bytes =>
        refusing(
          () => {
            const { config, fault } = parseInput(textOf(bytes));
            if (fault) throw fault;
            read({
              ...{ config, name: 'net', version: '1.0.0', cwd: folder, args: 'IP=10.1.0.9', env: {} },
              ...{ containerId: 'c', ifname: 'eth0', netns: '', path: [], configText: () => textOf(bytes) },
              host: testHost(),
            } as unknown as Call);
          },
          ...CODES,
        ),
    });
  });

t.test('results of other plugins', async t => {
  await campaign(t, {
    name: 'cni-result',
    seeds: [
      PREV,
      { ip4: { ip: '10.1.0.2/24', routes: [{ dst: '::/0' }] } },
      { code: 7, msg: 'x', details: 'y' },
    ].map(result => bytesOf(JSON.stringify(result))),
    alter: alterJson,
    parse: bytes =>
      refusing(
        () => {
          let raw: unknown;
          try {
            raw = JSON.parse(textOf(bytes));
          } catch {
            return;
          }
          decodeError(raw, 'a delegate');
          for (const version of ALL_VERSIONS) {
            const result = decodeResult(raw, version, 'prevResult');
            for (const wanted of ALL_VERSIONS) encodeResult(result, wanted);
          }
        },
        ...CODES,
      ),
  });
});

t.test('CNI_ARGS', async t => {
  await campaign(t, {
    name: 'cni-args',
    seeds: ['IP=10.1.0.2;MAC=0a:00:00:00:00:01', 'IgnoreUnknown=true;K8S_POD_NAME=x', ''].map(bytesOf),
    alter: alterText,
    parse: bytes => refusing(() => readCniArgs(textOf(bytes), ['IP', 'MAC']), ...CODES),
  });
});

t.test('resolv.conf', async t => {
  const file = join(folder, 'resolv.conf');
  await campaign(t, {
    name: 'resolv-conf',
    pace: 300,
    seeds: [
      bytesOf(
        '# x\nnameserver 10.0.0.10\nnameserver fe80::1%eth0\ndomain a.b\nsearch a.b c.d\noptions ndots:5 edns0\n',
      ),
    ],
    alter: alterText,
    parse: async bytes => {
      writeFileSync(file, bytes);
      const dns = await readResolvConf(file);
      for (const [key, value] of Object.entries(dns))
        if (key === 'domain' ? typeof value !== 'string' : !Array.isArray(value)) throw new Error(key);
      return dns.nameservers !== undefined;
    },
  });
});

t.test('address files of host-local', async t => {
  const directory = join(folder, 'addresses');
  mkdirSync(directory);
  writeFileSync(join(directory, '10.1.0.7'), '');
  await campaign(t, {
    name: 'host-local-file',
    pace: 300,
    seeds: ['c1\r\neth0', 'c1', 'c1\neth0\nx'].map(bytesOf),
    alter: alterText,
    parse: async bytes => {
      writeFileSync(join(directory, '10.1.0.9'), bytes);
      writeFileSync(join(directory, 'last_reserved_ip.0'), bytes);
      return AddressStore.locked(directory, store => {
        store.lastReserved(0);
        return store.addressesOf('c1', 'eth0').length > 0;
      });
    },
  });
});

t.test('what plugins saved for the deletion', async t => {
  const directory = join(folder, 'saved');
  mkdirSync(directory);
  const delegates = await SavedDelegates.in(directory);
  const leases = new LeaseFiles(directory);
  await campaign(t, {
    name: 'cni-saved',
    pace: 300,
    seeds: [{ type: 'bridge', name: 'net', ipam: { type: 'host-local' } }].map(value =>
      bytesOf(JSON.stringify(value)),
    ),
    alter: alterJson,
    parse: bytes => {
      for (const name of ['c1', 'lease.json']) writeFileSync(join(directory, name), bytes);
      leases.list(() => {});
      delegates.list();
      return delegates.find('c1', 'eth0') !== undefined;
    },
  });
});

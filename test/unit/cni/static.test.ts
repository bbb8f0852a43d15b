import t from 'tap';
import { staticAddresses } from '../../../src/cni/ipam/static.ts';
import { ALL_VERSIONS, isAtLeast } from '../../../src/cni/skel/version.ts';
import { attachment, invoke } from './fixtures/harness.ts';

const ipam = {
  type: 'static',
  addresses: [
    { address: '10.10.0.1/24', gateway: '10.10.0.254' },
    { address: '3ffe:ffff:0:1ff::1/64', gateway: '3ffe:ffff:0::1' },
  ],
  routes: [
    { dst: '0.0.0.0/0' },
    { dst: '192.168.0.0/16', gw: '10.10.5.1' },
    { dst: '192.168.0.0/16', gw: '10.10.5.2' },
  ],
  dns: { nameservers: ['8.8.8.8'], domain: 'example.com', search: ['example.com'] },
};
const config = { cniVersion: '1.1.0', name: 'net', type: 'x', ipam };
const add = (changes: object, args = '') =>
  invoke(staticAddresses, attachment('ADD', { CNI_ARGS: args }), { ...config, ...changes });

t.test('configured addresses in every version', async t => {
  for (const version of ALL_VERSIONS) {
    const { json } = await add({ cniVersion: version });
    if (isAtLeast(version, '0.3.0')) {
      t.match(json.ips, [
        { address: '10.10.0.1/24', gateway: '10.10.0.254' },
        { address: '3ffe:ffff:0:1ff::1/64', gateway: '3ffe:ffff::1' },
      ]);
      t.strictSame(json.routes, ipam.routes, 'two gateways for one destination stay two');
    } else t.match(json, { ip4: { ip: '10.10.0.1/24' }, ip6: { ip: '3ffe:ffff:0:1ff::1/64' } });
    t.strictSame(json.dns, ipam.dns);
    for (const command of ['DEL', 'DEL']) {
      t.equal(
        (await invoke(staticAddresses, attachment(command), { ...config, cniVersion: version })).status,
        0,
      );
    }
  }
});

t.test("an address as programs in Go write the reference's type: the key Address is another one", async t => {
  const written = {
    address: '10.10.0.1/24',
    gateway: '10.10.0.254',
    Address: { IP: '10.10.0.1', Mask: '////AA==' },
    Version: '4',
  };
  const { json } = await add({ ipam: { ...ipam, addresses: [written] } });
  t.match(json.ips, [{ address: '10.10.0.1/24', gateway: '10.10.0.254' }]);
  const folded = await add({ ipam: { ...ipam, addresses: [{ ADDRESS: '10.10.0.1/24' }] } });
  t.match(folded.json.ips, [{ address: '10.10.0.1/24' }]);
});

t.test('three other sources, the runtime wins', async t => {
  const addressesOf = async (changes: object, args?: string) =>
    (await add(changes, args)).json.ips.map((one: { address: string; gateway?: string }) => [
      one.address,
      one.gateway,
    ]);
  const args = 'IP=10.9.0.2/24,fd00::2/64;GATEWAY=10.9.0.1,fd00::1';
  t.strictSame(
    await addressesOf({}, args),
    [
      ['10.10.0.1/24', '10.10.0.254'],
      ['3ffe:ffff:0:1ff::1/64', '3ffe:ffff::1'],
      ['10.9.0.2/24', '10.9.0.1'],
      ['fd00::2/64', 'fd00::1'],
    ],
    'those of CNI_ARGS are added to the configured ones (B17)',
  );
  t.strictSame(await addressesOf({ ipam: {} }, 'IP=::ffff:10.9.0.2/120;GATEWAY=::ffff:10.9.0.1'), [
    ['10.9.0.2/24', '10.9.0.1'],
  ]);
  const cni = { args: { cni: { ips: ['10.8.0.2/24'] } } };
  t.strictSame(await addressesOf(cni, args), [['10.8.0.2/24', undefined]]);
  t.strictSame(await addressesOf({ ...cni, runtimeConfig: { ips: ['10.7.0.2/24'] } }, args), [
    ['10.7.0.2/24', undefined],
  ]);
});

t.test("invalid CIDR: the reference's sentence, and the source as detail", async t => {
  const address = "the 'address' field is expected to be in CIDR notation, got: ";
  const ips = "an entry in the 'ips' field is NOT in CIDR notation, got: ";
  const cases: [object, string, string | RegExp, string?][] = [
    [
      { ipam: { addresses: [{ address: '10.10.0.1' }] } },
      '',
      `${address}'10.10.0.1'`,
      'ipam.addresses[0].address',
    ],
    [{ ipam: { addresses: [{}] } }, '', `${address}''`, 'ipam.addresses[0].address'],
    [{}, 'IP=10.9.0.2', "the 'ip' field is expected to be in CIDR notation, got: '10.9.0.2'", 'CNI_ARGS IP'],
    [{}, 'IP=10.9.0.2/24;GATEWAY=x', /^CNI_ARGS GATEWAY: "x" is not an IP address/],
    [{ args: { cni: { ips: ['z'] } } }, '', `${ips}'z'`, 'args.cni.ips[0]'],
    [{ runtimeConfig: { ips: ['z'] } }, '', `${ips}'z'`, 'runtimeConfig.ips[0]'],
    [{ runtimeConfig: { ips: ['::ffff:1.2.3.4/64'] } }, '', `${ips}'::ffff:1.2.3.4/64'`],
    [{ ipam: undefined }, 'IP=10.9.0.2/24', "IPAM config missing 'ipam' key"],
    [{ ipam: { addresses: [{ address: '10.0.0.1/8', gateway: 'fd00::1' }] } }, '', /not of the family/],
    [
      { cniVersion: '0.2.0' },
      'IP=10.9.0.2/24',
      'CNI version 0.2.0 does not support more than 1 address per family',
    ],
  ];
  for (const [changes, args, msg, details] of cases)
    t.match((await add(changes, args)).json, { code: 7, msg, ...(details ? { details } : {}) });
});

t.test('CHECK compares with what was given', async t => {
  const check = (prevResult: unknown) =>
    invoke(staticAddresses, attachment('CHECK'), { ...config, ...(prevResult ? { prevResult } : {}) });
  const { json } = await add({});
  t.equal((await check(json)).status, 0);
  t.match((await check({ ...json, ips: json.ips.slice(1) })).json, {
    msg: /Failed to match addr 10\.10\.0\.1\/24/,
  });
  t.match((await check(undefined)).json, { code: 7, msg: 'Required prevResult missing' });
});

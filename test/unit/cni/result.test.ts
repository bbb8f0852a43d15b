import t from 'tap';
import { decodeResult } from '../../../src/cni/result/decode.ts';
import { encodeResult } from '../../../src/cni/result/encode.ts';
import type { Result } from '../../../src/cni/result/types.ts';
import { ALL_VERSIONS, type CniVersion, isAtLeast } from '../../../src/cni/skel/version.ts';

const full: Result = {
  interfaces: [
    { name: 'cni0', mac: '02:00:00:00:00:01', mtu: 1450 },
    {
      name: 'eth0',
      mac: '02:00:00:00:00:02',
      sandbox: '/run/netns/p',
      socketPath: '/s',
      pciID: '0000:01:00.0',
    },
  ],
  ips: [
    { address: '10.1.0.2/24', gateway: '10.1.0.1', interface: 1 },
    { address: 'fd00::2/64', gateway: 'fd00::1', interface: 1 },
  ],
  routes: [
    { dst: '0.0.0.0/0', gw: '10.1.0.1', mtu: 1400, advmss: 1360, priority: 5, table: 100, scope: 0 },
    { dst: 'fd01::/64' },
  ],
  dns: { nameservers: ['10.0.0.10'], domain: 'd', search: ['a', 'b'], options: ['ndots:5'] },
};

t.test('each version has its own shape', async t => {
  const routes = [{ dst: '0.0.0.0/0', gw: '10.1.0.1' }, { dst: 'fd01::/64' }];
  for (const version of ['0.1.0', '0.2.0'] as const) {
    t.strictSame(encodeResult(full, version), {
      cniVersion: version,
      ip4: { ip: '10.1.0.2/24', gateway: '10.1.0.1', routes: [routes[0]] },
      ip6: { ip: 'fd00::2/64', gateway: 'fd00::1', routes: [routes[1]] },
      dns: full.dns,
    });
  }
  for (const version of ['0.3.0', '0.3.1', '0.4.0', '1.0.0'] as const) {
    const family = (v: string) => (version === '1.0.0' ? {} : { version: v });
    t.strictSame(encodeResult(full, version), {
      cniVersion: version,
      interfaces: [
        { name: 'cni0', mac: '02:00:00:00:00:01' },
        { name: 'eth0', mac: '02:00:00:00:00:02', sandbox: '/run/netns/p' },
      ],
      ips: full.ips.map((one, index) => ({ ...family(index === 0 ? '4' : '6'), ...one })),
      routes,
      dns: full.dns,
    });
  }
  t.strictSame(encodeResult(full, '1.1.0'), { cniVersion: '1.1.0', ...full });
});

t.test('there and back in every version', async t => {
  for (const version of ALL_VERSIONS) {
    const back = decodeResult(encodeResult(full, version), '0.1.0', 'x');
    t.strictSame(encodeResult(back, version), encodeResult(full, version), version);
    if (!isAtLeast(version, '0.3.0')) t.strictSame(back.interfaces, []);
  }
});

t.test('the oldest versions cannot tell of a network without addresses', async t => {
  const bare: Result = { interfaces: [{ name: 'x' }], ips: [], routes: [], dns: {} };
  for (const version of ['0.1.0', '0.2.0'] as const) {
    t.throws(() => encodeResult(bare, version), {
      code: 999,
      message: /cannot convert: no valid IP addresses/,
    });
  }
  t.strictSame(encodeResult(bare, '1.0.0'), { cniVersion: '1.0.0', interfaces: [{ name: 'x' }], dns: {} });
  const second: Result = { ...bare, ips: [{ address: '10.0.0.2/8' }, { address: '10.0.0.3/8' }] };
  t.strictSame(encodeResult(second, '0.2.0'), { cniVersion: '0.2.0', ip4: { ip: '10.0.0.2/8' }, dns: {} });
});

t.test('a result without version is of the configuration, a foreign one is refused', async t => {
  t.strictSame(decodeResult({ ip4: { ip: '10.0.0.2/8' } }, '0.2.0', 'x').ips, [{ address: '10.0.0.2/8' }]);
  t.strictSame(decodeResult({ ips: [{ address: '10.0.0.2/8' }] }, '1.0.0', 'x').ips, [
    { address: '10.0.0.2/8' },
  ]);
  t.throws(() => decodeResult({ cniVersion: '9.0.0' }, '1.0.0', 'x'), { code: 1 });
});

t.test('invalid result: the error names the place', async t => {
  const cases: [unknown, RegExp][] = [
    ['x', /^prevResult: must be an object/],
    [{ ips: {} }, /^prevResult\.ips: must be a list/],
    [{ ips: [{ address: 5 }] }, /^prevResult\.ips\[0\]\.address: 5 is not an address with length/],
    [
      { ips: [{ address: '10.0.0.1/8', interface: 'a' }] },
      /^prevResult\.ips\[0\]\.interface: "a" is not a whole/,
    ],
    [{ interfaces: [{}] }, /^prevResult\.interfaces\[0\]\.name: is missing/],
    [{ routes: [{ gw: '10.0.0.1' }] }, /^prevResult\.routes\[0\]\.dst/],
    [{ dns: { nameservers: [5] } }, /^prevResult\.dns\.nameservers\[0\]/],
  ];
  for (const [raw, message] of cases) {
    t.throws(() => decodeResult(raw, '1.0.0' as CniVersion, 'prevResult'), { code: 6, message });
  }
});

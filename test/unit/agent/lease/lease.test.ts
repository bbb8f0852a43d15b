import t from 'tap';
import {
  announcesProofs,
  formatUdpData,
  formatVxlanData,
  parseVxlanData,
} from '../../../../src/agent/lease/backend-data.ts';
import {
  formatAttributes,
  formatKey,
  parseAttributes,
  parseKey,
  sameAttributes,
} from '../../../../src/agent/lease/lease.ts';
import { formatPrefix, parsePrefix } from '../../../../src/ip/prefix.ts';

const base = {
  publicIp: '192.168.1.2',
  publicIpv6: undefined,
  backendType: 'vxlan',
  backendData: undefined,
  backendV6Data: undefined,
};

t.test('keys are flannel’s', async t => {
  const v4 = parsePrefix('10.5.34.0/24');
  const v6 = parsePrefix('fc00:0:0:5::/64');
  t.equal(formatKey({ v4, v6: undefined }), '10.5.34.0-24');
  t.equal(formatKey({ v4, v6 }), '10.5.34.0-24&fc00:0:0:5::-64');
  t.equal(formatKey({ v4: undefined, v6 }), '0.0.0.0-0&fc00:0:0:5::-64');
  for (const subnets of [
    { v4, v6 },
    { v4, v6: undefined },
    { v4: undefined, v6 },
  ]) {
    const back = parseKey(formatKey(subnets))!;
    t.equal(back.v4 && formatPrefix(back.v4), subnets.v4 && formatPrefix(subnets.v4));
    t.equal(back.v6 && formatPrefix(back.v6), subnets.v6 && formatPrefix(subnets.v6));
  }
  for (const wrong of [
    '',
    'config',
    '10.5.34.0',
    '10.5.34.1-24',
    '10.5.34.0-33',
    '10.5.34.0-24&',
    '300.1.1.0-24',
    'zz-64',
    '-64',
    '0.0.0.0-0',
    '10.5.34.0-24&::-0',
    '10.5.34.0-24&fc00:0:0:5::1-64',
  ])
    t.equal(parseKey(wrong), undefined, JSON.stringify(wrong));
});

t.test('values are flannel’s, byte for byte', async t => {
  t.equal(
    formatAttributes({
      ...base,
      backendData: formatVxlanData({
        vni: 1,
        mac: '36:1c:11:22:33:44',
        remoteChecksum: false,
        offloadProofs: false,
      }),
    }),
    '{"PublicIP":"192.168.1.2","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"36:1c:11:22:33:44"}}',
  );
  t.equal(formatAttributes({ ...base, backendType: '' }), '{"PublicIP":"192.168.1.2","PublicIPv6":null}');
  t.equal(
    formatAttributes({ ...base, publicIp: undefined, publicIpv6: 'fd00::2', backendType: 'host-gw' }),
    '{"PublicIP":"0.0.0.0","PublicIPv6":"fd00::2","BackendType":"host-gw"}',
  );
});

t.test('values of flannel’s versions are read', async t => {
  const old = parseAttributes(
    '{"PublicIP":"10.0.0.1","BackendType":"vxlan","BackendData":{"VtepMAC":"AA:BB:CC:00:11:22"}}',
    'x',
  );
  t.same(parseVxlanData(old.backendData, 'x'), {
    vni: undefined,
    mac: 'aa:bb:cc:00:11:22',
    remoteChecksum: false,
    offloadProofs: false,
  });
  t.equal(old.publicIpv6, undefined);
  const udp = parseAttributes('{"PublicIP":"10.0.0.1","PublicIPv6":null}', 'x');
  t.equal(udp.backendType, '');
  const six = parseAttributes('{"PublicIP":"0.0.0.0","PublicIPv6":"FD00:0::2"}', 'x');
  t.equal(six.publicIp, undefined);
  t.equal(six.publicIpv6, 'fd00::2');
  for (const wrong of [
    '',
    '[]',
    '{}',
    '{"PublicIP":"x"}',
    '{"PublicIP":5}',
    '{"PublicIP":"10.0.0.1","BackendType":3}',
  ])
    t.throws(
      () => parseAttributes(wrong, 'key k'),
      { code: 'ELEASE', message: /^key k(:|\.| is not JSON)/ },
      wrong,
    );
});

/** The MAC that flanneld finds in an annotation: Go's Trim with `"}`, then Split at `:"` into two parts. */
function macAsFlanneldReads(annotation: string): string | undefined {
  const parts = annotation.replace(/^["}]+|["}]+$/g, '').split(':"');
  return parts.length === 2 ? parts[1] : undefined;
}

t.test('VXLAN data', async t => {
  const ours = { vni: 1, mac: 'aa:bb:cc:00:11:22', remoteChecksum: true, offloadProofs: true };
  t.equal(
    JSON.stringify(formatVxlanData(ours)),
    '{"VNI":1,"RipstopRemoteChecksum":true,"RipstopOffloadProofs":1,"VtepMAC":"aa:bb:cc:00:11:22"}',
  );
  t.same(parseVxlanData(formatVxlanData(ours), 'x'), ours);
  for (const remoteChecksum of [true, false])
    for (const offloadProofs of [true, false])
      t.equal(
        macAsFlanneldReads(JSON.stringify(formatVxlanData({ ...ours, remoteChecksum, offloadProofs }))),
        ours.mac,
        'flanneld keeps the MAC (K5)',
      );
  t.equal(macAsFlanneldReads(JSON.stringify(formatUdpData(true))), undefined, 'in udp mode there is none');
  t.equal(formatUdpData(false), undefined, "the lease is flannel's");
  for (const announced of [formatUdpData(true), formatVxlanData(ours)]) t.ok(announcesProofs(announced));
  for (const silent of [
    undefined,
    null,
    'RipstopOffloadProofs',
    [],
    {},
    { RipstopOffloadProofs: true },
    { RipstopOffloadProofs: '1' },
    { RipstopOffloadProofs: 2 },
    Object.create({ RipstopOffloadProofs: 1 }),
    formatVxlanData({ ...ours, offloadProofs: false }),
  ])
    t.notOk(announcesProofs(silent), `${JSON.stringify(silent)} announces nothing`);
  for (const wrong of [
    undefined,
    null,
    {},
    { VtepMAC: 'x' },
    { VtepMAC: '00:00:00:00:00:00' },
    { VtepMAC: '01:00:5e:00:00:01' },
    { VtepMAC: 'aa:bb:cc:00:11:22', VNI: '1' },
  ])
    t.throws(() => parseVxlanData(wrong, 'node a'), { code: 'ELEASE', message: /^node a[:.]/ });
});

t.test('attributes are compared by meaning', async t => {
  t.ok(
    sameAttributes(
      { ...base, backendData: { VNI: 1, VtepMAC: 'a' } },
      { ...base, backendData: { VtepMAC: 'a', VNI: 1 } },
    ),
  );
  t.notOk(
    sameAttributes(
      { ...base, backendV6Data: { VtepMAC: 'a' } },
      { ...base, backendV6Data: { VtepMAC: 'b' } },
    ),
    'a change in one family counts',
  );
  t.notOk(sameAttributes(base, { ...base, publicIp: '192.168.1.3' }));
});

t.test('hostile attributes (H6, H17): refused with a short reason', async t => {
  const value = (more: object) => JSON.stringify({ PublicIP: '192.0.2.1', BackendType: 'vxlan', ...more });
  const faults = [
    value({ BackendType: 'vxlan\u001b]0;x\u0007' }),
    value({ BackendType: 'v'.repeat(200_000) }),
    value({ PublicIP: '9'.repeat(200_000) }),
    value({ BackendData: { VNI: 1, more: 'x'.repeat(200_000) } }),
  ];
  for (const text of faults)
    t.throws(() => parseAttributes(text, 'x'), { code: 'ELEASE', message: /^.{1,900}$/s });
  t.equal(parseAttributes(value({ BackendType: 'tencent-vpc' }), 'x').backendType, 'tencent-vpc');
});

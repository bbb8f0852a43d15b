import t from 'tap';
import { parseNetConf } from '../../../../src/agent/config/net-conf.ts';
import { refuseGroupPolicy } from '../../../../src/agent/inputs/resolve.ts';
import { RipstopError } from '../../../../src/base/errors.ts';
import { formatPrefix } from '../../../../src/ip/prefix.ts';

const read = (value: unknown, options = {}) => parseNetConf(JSON.stringify(value), 'net-conf.json', options);

function refusal(value: unknown, options = {}): RipstopError {
  try {
    read(value, options);
  } catch (error) {
    if (error instanceof RipstopError) return error;
    throw error;
  }
  throw new Error(`accepted ${JSON.stringify(value)}`);
}

t.test('the manifest that flannel ships is read as it is', async t => {
  const config = read({ Network: '10.244.0.0/16', EnableNFTables: false, Backend: { Type: 'vxlan' } });
  t.equal(formatPrefix(config.v4!), '10.244.0.0/16');
  t.equal(config.v6, undefined);
  t.equal(config.nftables, false);
  t.same(config.backend, {
    type: 'vxlan',
    vni: 1,
    port: 8472,
    mtu: 0,
    gbp: false,
    learning: false,
    directRouting: false,
  });
  t.same(config.notes, []);
  t.equal(config.range4!.length, 24);
  t.equal(config.range4!.min, 0x0af40100n, 'the second subnet is the first to be handed out');
  t.equal(config.range4!.max, 0x0af4ff00n);
});

t.test('keys of the backends', async t => {
  t.same(read({ Network: '10.0.0.0/8', Backend: { Type: 'udp', Port: 7890 } }).backend, {
    type: 'udp',
    port: 7890,
  });
  t.same(read({ Network: '10.0.0.0/8', Backend: { Type: 'UDP' } }).backend, { type: 'udp', port: 8285 });
  t.same(read({ Network: '10.0.0.0/8', Backend: { Type: 'host-gw' } }).backend, { type: 'host-gw' });
  t.same(
    read({
      Network: '10.0.0.0/8',
      Backend: {
        type: 'VXLAN',
        vni: 7,
        Port: 4789,
        MTU: 9000,
        GBP: true,
        Learning: true,
        DirectRouting: true,
      },
    }).backend,
    { type: 'vxlan', vni: 7, port: 4789, mtu: 9000, gbp: true, learning: true, directRouting: true },
    'the case of keys does not count, as in Go',
  );
  const windows = read({ Network: '10.0.0.0/8', Backend: { Type: 'vxlan', Name: 'x', MacPrefix: '0E-2A' } });
  t.equal(windows.notes.length, 2);
});

t.test('an absent Backend means udp, as in flannel’s code, and a line says so', async t => {
  const config = read({ Network: '10.0.0.0/8' });
  t.same(config.backend, { type: 'udp', port: 8285 });
  t.match(config.notes[0], /Backend is absent: using udp/);
});

t.test('a Backend without Type is an error, as in flannel’s code', async t => {
  for (const Backend of [{}, { VNI: 3 }]) {
    const error = refusal({ Network: '10.0.0.0/8', Backend });
    t.match(error.message, /net-conf.json: Backend.Type: is missing/);
    t.match(error.hint, /udp, vxlan or host-gw/);
  }
  t.match(refusal({ Network: '10.0.0.0/8', Backend: null }).message, /Backend: must be a JSON object/);
});

t.test('unknown keys are errors with a suggestion, or notes', async t => {
  const error = refusal({ Network: '10.0.0.0/8', SubnetLength: 24, Backend: { Type: 'vxlan' } });
  t.equal(error.code, 'ECONFIG');
  t.match(error.message, /net-conf.json: SubnetLength: unknown key/);
  t.match(error.hint, /did you mean "SubnetLen"\?/);
  const nested = refusal({ Network: '10.0.0.0/8', Backend: { Type: 'vxlan', DirectRoutin: true } });
  t.match(nested.message, /Backend.DirectRoutin: unknown key/);
  t.match(nested.hint, /DirectRouting/);
  t.match(refusal({ Network: '10.0.0.0/8', Backend: { Type: 'udp', VNI: 3 } }).message, /Backend.VNI/);
  t.match(refusal({ network: '10.0.0.0/8', Network: '10.0.0.0/8' }).message, /given twice/);

  const tolerant = read(
    { Network: '10.0.0.0/8', Extra: 1, Backend: { Type: 'vxlan', Foo: 2 } },
    { tolerateUnknown: true },
  );
  t.match(tolerant.notes, [/Extra: unknown key ignored/, /Backend.Foo: unknown key ignored/]);
});

t.test('other backends are refused by name', async t => {
  const error = refusal({ Network: '10.0.0.0/8', Backend: { Type: 'wireguard' } });
  t.match(error.message, /"wireguard" is flannel's/);
  t.match(error.hint, /udp, vxlan or host-gw/);
  t.match(refusal({ Network: '10.0.0.0/8', Backend: { Type: 'vxlam' } }).hint, /vxlan/);
});

t.test('range rules', async t => {
  const len = (Network: string, extra = {}) => read({ Network, ...extra }).range4!.length;
  t.equal(len('10.0.0.0/8'), 24);
  t.equal(len('10.0.0.0/22'), 24);
  t.equal(len('10.0.0.0/23'), 25);
  t.equal(len('10.0.0.0/28'), 30);
  t.equal(len('10.0.0.0/16', { SubnetLen: 20 }), 20);
  t.match(refusal({ Network: '10.0.0.0/29' }).message, /too small/);
  t.match(refusal({ Network: '10.0.0.0/16', SubnetLen: 17 }).message, /fewer than four subnets/);
  t.match(refusal({ Network: '10.0.0.0/16', SubnetLen: 31 }).message, /SubnetLen/);
  t.match(refusal({ Network: '10.0.1.0/16' }).hint, /did you mean 10.0.0.0\/16\?/);
  t.match(refusal({ Network: '10.0.0.0/16', SubnetMin: '10.0.5.1' }).message, /not the base of a \/24/);
  t.match(refusal({ Network: '10.0.0.0/16', SubnetMin: '10.1.5.0' }).message, /outside/);
  t.match(refusal({ Network: '10.0.0.0/16', SubnetMin: '10.0.9.0', SubnetMax: '10.0.5.0' }).message, /above/);
  t.match(refusal({}).message, /Network: is missing/);
  t.match(refusal({ Network: 'fc00::/48' }).message, /not an IPv4 CIDR/);
  t.match(refusal({ Network: '10.0.0.0/8', EnableIPv4: false }).message, /both families/);
  t.match(refusal({ Network: '10.0.0.0/8', EnableIPv6: true }).message, /IPv6Network: is missing/);
});

t.test('dual stack, and IPv6 alone', async t => {
  const dual = read({ Network: '10.0.0.0/16', EnableIPv6: true, IPv6Network: 'fc00:1::/48' });
  t.equal(dual.range6!.length, 64);
  t.equal(dual.range6!.min, dual.range6!.network.value + (1n << 64n));
  const alone = read({ EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fc00:1::/124' });
  t.equal(alone.v4, undefined);
  t.equal(alone.range6!.length, 126);
  t.match(refusal({ EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fc00:1::/125' }).message, /too small/);
});

t.test('with the kubernetes store the range keys mean nothing', async t => {
  const config = read({ Network: '10.0.0.0/29', SubnetLen: 24 }, { ranges: false });
  t.equal(config.range4, undefined);
  t.equal(formatPrefix(config.v4!), '10.0.0.0/29');
  t.match(config.notes[1], /podCIDR of the Node rules/);
});

t.test('text that is not JSON: refused', async t => {
  t.throws(() => parseNetConf('{', 'etcd /x/config'), {
    code: 'ECONFIG',
    message: /etcd \/x\/config: network configuration is not JSON/,
  });
  t.throws(() => parseNetConf('[]', 'x'), { message: /must be a JSON object/ });
});

t.test('GBP is refused where Ripstop carries the packets (J3)', async t => {
  const conf = (backend: object) =>
    parseNetConf(JSON.stringify({ Network: '10.0.0.0/16', Backend: backend }), 'x');
  const marked = conf({ Type: 'vxlan', GBP: true });
  t.throws(() => refuseGroupPolicy(marked, 'userspace'), { code: 'ECONFIG', hint: /--data-plane=kernel/ });
  refuseGroupPolicy(marked, 'kernel');
  refuseGroupPolicy(conf({ Type: 'vxlan' }), 'userspace');
  refuseGroupPolicy(conf({ Type: 'host-gw' }), 'userspace');
});

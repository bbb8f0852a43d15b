import t from 'tap';
import { formatPrefix } from '../../../src/ip/prefix.ts';
import { parseSubnetEnv } from '../../../src/ip/subnet-env.ts';

t.test('lists, quotes, comments, and keys of others', t => {
  const text = [
    '# written by flanneld',
    'FLANNEL_IPV6_NETWORK=fd00::/48',
    ' FLANNEL_NETWORK = "10.244.0.0/16, 10.9.0.0/16" ',
    "FLANNEL_SUBNET='10.244.3.1/24'",
    'FLANNEL_MTU=1450',
    'FLANNEL_IPMASQ=false',
    'OTHER=1.2.3.4/8',
    'no assignment',
  ].join('\n');
  const { networks, subnets, ...rest } = parseSubnetEnv(text);
  t.strictSame(networks.map(formatPrefix), ['10.244.0.0/16', '10.9.0.0/16', 'fd00::/48'], 'IPv4 first');
  t.strictSame(subnets.map(formatPrefix), ['10.244.3.0/24'], 'without host bits');
  t.strictSame(rest, { mtu: 1450, ipMasq: false, faults: [] });
  t.end();
});

t.test('what is missing is undefined; what is wrong counts as missing and is named', t => {
  t.strictSame(parseSubnetEnv('FLANNEL_MTU=\n'), {
    networks: [],
    subnets: [],
    mtu: undefined,
    ipMasq: undefined,
    faults: [],
  });
  const wrong =
    'FLANNEL_NETWORK=10.1.0.0,fd00::/48\nFLANNEL_IPV6_SUBNET=10.1.0.1/24\nFLANNEL_MTU=65536\nFLANNEL_IPMASQ=yes';
  t.strictSame(parseSubnetEnv(wrong), {
    networks: [],
    subnets: [],
    mtu: undefined,
    ipMasq: undefined,
    faults: [
      'FLANNEL_NETWORK: "10.1.0.0" is not an IPv4 subnet',
      'FLANNEL_NETWORK: "fd00::/48" is not an IPv4 subnet',
      'FLANNEL_IPV6_SUBNET: "10.1.0.1/24" is not an IPv6 subnet',
      'FLANNEL_MTU: "65536" is not 0..65535',
      'FLANNEL_IPMASQ: "yes" is not true or false',
    ],
  });
  t.end();
});

import t from 'tap';
import { parseVxlanData } from '../../src/agent/lease/backend-data.ts';
import { formatAttributes, formatKey, parseAttributes, parseKey } from '../../src/agent/lease/lease.ts';
import { annotationNames, readNode, toAnnotations, toLease } from '../../src/agent/store/kube/node.ts';
import { formatPrefix } from '../../src/ip/prefix.ts';
import { FLANNEL_ANNOTATIONS, FLANNEL_KEY, FLANNEL_LEASES } from './flannel-leases.ts';

t.test('keys that flanneld writes are read, and written the same', async t => {
  for (const { key, v4, v6 } of FLANNEL_LEASES) {
    const subnets = parseKey(key);
    t.ok(subnets, key);
    t.equal(subnets?.v4 && formatPrefix(subnets.v4), v4, key);
    t.equal(subnets?.v6 && formatPrefix(subnets.v6), v6, key);
    t.equal(formatKey(subnets!), key);
    t.equal(FLANNEL_KEY.exec(key)?.[0], key, 'flanneld reads the whole of it');
  }
});

t.test('values that flanneld writes are read, and written the same', async t => {
  for (const { key, value, backend } of FLANNEL_LEASES) {
    const attributes = parseAttributes(value, key);
    t.equal(formatAttributes(attributes), value, key);
    t.equal(attributes.backendType || 'udp', backend, key);
    if (backend === 'vxlan') t.equal(parseVxlanData(attributes.backendData, key).mac, '56:0b:c4:6d:1f:2e');
  }
});

t.test('annotations that flanneld writes are read, and written the same', async t => {
  const names = annotationNames('flannel.alpha.coreos.com');
  const node = {
    metadata: { name: 'n1', annotations: FLANNEL_ANNOTATIONS },
    spec: { podCIDRs: ['10.244.1.0/24', 'fd00:10:244:1::/64'] },
  };
  const lease = toLease(readNode(node, names), names)!;
  t.equal(formatPrefix(lease.v4!), '10.244.1.0/24');
  t.equal(formatPrefix(lease.v6!), 'fd00:10:244:1::/64');
  t.same(toAnnotations(lease.attributes, names), FLANNEL_ANNOTATIONS);
});

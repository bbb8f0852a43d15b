import t from 'tap';
import { annotationNames, readNode, toLease } from '../../../../src/agent/store/kube/node.ts';

const NAMES = annotationNames('flannel.alpha.coreos.com');

t.test('a Node whose list entry is cut to what leases are made of gives the same lease', async t => {
  const node = {
    metadata: {
      name: 'node-a',
      uid: 'b6f0c9d1',
      resourceVersion: '17',
      creationTimestamp: '2026-11-24T10:00:00Z',
      annotations: {
        [NAMES.managed]: 'true',
        [NAMES.publicIp]: '192.0.2.1',
        [NAMES.backendType]: 'vxlan',
        [NAMES.backendData]: '{"VNI":1,"VtepMAC":"0a:00:00:00:00:01"}',
        'example.com/other': 'x'.repeat(1000),
      },
    },
    spec: { podCIDR: '10.244.1.0/24', podCIDRs: ['10.244.1.0/24'] },
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  };
  const lease = toLease(node, NAMES);
  t.equal(
    lease?.since,
    Date.parse('2026-11-24T10:00:00Z'),
    'its age decides between two that claim the same',
  );
  t.same(toLease(readNode(node, NAMES), NAMES), lease);
});

t.test('an object that is no Node is refused by the path of its fault', async t => {
  const wrong: [unknown, RegExp][] = [
    [{}, /Node\.metadata: is missing/],
    [{ metadata: { name: 7 } }, /Node\.metadata\.name: 7 is not a text/],
    [{ metadata: { name: 'n', annotations: { a: 1 } } }, /Node\.metadata\.annotations\.a/],
    [{ metadata: { name: 'n' }, spec: { podCIDRs: 'x' } }, /Node\.spec\.podCIDRs: must be a list/],
  ];
  for (const [raw, message] of wrong) t.throws(() => readNode(raw, NAMES), { code: 'ECONFIG', message });
});

t.test('an annotation that is no JSON is a fault of the lease, not of the configuration', async t => {
  const annotations = { [NAMES.managed]: 'true', [NAMES.publicIp]: '192.0.2.1', [NAMES.backendData]: '{' };
  const node = { metadata: { name: 'n', annotations }, spec: { podCIDR: '10.244.1.0/24' } };
  t.throws(() => toLease(readNode(node, NAMES), NAMES), {
    code: 'ELEASE',
    message: /^Node n: annotation flannel\.alpha\.coreos\.com\/backend-data/,
  });
});

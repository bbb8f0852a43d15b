import t from 'tap';
import { filterByPods, mayNamePods } from '../../../../src/capture/filter/pod-filter.ts';
import { createFlowFilter } from '../../../../src/capture/flows/flow-filter.ts';

const since = '2026-11-30T10:00:00.000Z';
const until = '2026-11-30T11:00:00.000Z';
const pods = [
  { address: '10.244.1.6', namespace: 'default', name: 'old-1', since, until },
  { address: '10.244.1.9', namespace: 'default', name: 'web-1', since, until },
  { address: '10.244.1.5', namespace: 'default', name: 'web-1', since, until: null },
  { address: 'fd00::5', namespace: 'default', name: 'web-1', since, until: null },
  { address: '10.244.1.6', namespace: 'kube-system', name: 'dns.0', since: until, until: null },
];

t.test('a pod in a filter, wherever an address can stand, is its addresses', async t => {
  const cases = {
    'host default/web-1': '(host 10.244.1.5 or host fd00::5)',
    'tcp port 80 and src default/web-1': 'tcp port 80 and (src 10.244.1.5 or src fd00::5)',
    'not (dst host kube-system/dns.0)': 'not (dst host 10.244.1.6)',
    'kube-system/dns.0': 'host 10.244.1.6',
    'host kube-system/dns.0 or host default/web-1': 'host 10.244.1.6 or (host 10.244.1.5 or host fd00::5)',
  };
  for (const [filter, expected] of Object.entries(cases)) {
    t.ok(mayNamePods(filter));
    t.equal(filterByPods(filter, pods), expected);
    t.type(await createFlowFilter(expected), 'function', 'tcpdump understands it');
  }
  const others = ['net 10.244.0.0/16', 'src net 10/8', 'net fd00::/64', 'ip[2:2]/4 > 3', 'tcp port 80', ''];
  for (const filter of others) {
    t.notOk(mayNamePods(filter), filter);
    t.equal(filterByPods(filter, pods), filter);
  }
});

t.test('a pod that is not there is refused by name', async t => {
  t.throws(() => filterByPods('host default/web-2', pods), {
    code: 'EFILTER',
    message: 'no pod "default/web-2" on this node',
    hint: /^pods with similar names: default\/web-1, kube-system\/dns\.0; /,
  });
  t.throws(() => filterByPods('host default/web-2', []), { code: 'EFILTER', hint: /^ripstop pods lists/ });
});

t.test('a pod that went away is named with the pod that has its address', async t => {
  t.throws(() => filterByPods('host default/old-1', pods), {
    message: `pod "default/old-1" went away at ${until}`,
    hint: `its address 10.244.1.6 belongs to kube-system/dns.0 since ${until}`,
  });
  t.throws(() => filterByPods('host default/old-1', pods.slice(0, 1)), {
    code: 'EFILTER',
    hint: 'no pod has its address 10.244.1.6 now',
  });
});

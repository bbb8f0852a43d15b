import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { installCni } from '../../../src/cni/install.ts';
import { CniNode } from '../../fixtures/cni/cni.ts';
import { CONTAINERD, leftovers } from '../../fixtures/cni/cni-containerd.ts';
import { CriNode, PAUSE } from '../../fixtures/kube/cri-runtime.ts';
import { packPause } from '../../fixtures/kube/oci-image.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * containerd's CRI socket, asked as kubelet and crictl do: it reads the network's list, passes what the capabilities declare,
 * and deletes by what it has kept of the result.
 */

const skip = skipUnless('root', 'netns', 'ip', 'nft', 'cc', ...CONTAINERD);

async function setUp(t: Test) {
  const lab = new CniNode(t);
  const at = (name: string) => `${lab.scratch}/${name}`;
  lab.node.ip('link set lo up');
  mkdirSync(at('etc/cni/net.d'), { recursive: true });
  const plugins = [
    { type: 'bridge', isDefaultGateway: true, ipMasq: true, ipam: lab.ipam() },
    { type: 'portmap', capabilities: { portMappings: true } },
    { type: 'bandwidth', capabilities: { bandwidth: true } },
    { type: 'tuning', sysctl: { 'net.core.somaxconn': '511' }, dataDir: at('tuning') },
  ];
  const list = { cniVersion: '1.0.0', name: 'pods', plugins };
  writeFileSync(at('etc/cni/net.d/10-pods.conflist'), JSON.stringify(list));
  installCni({ binDir: at('opt/cni/bin'), socket: at('no-agent'), standalone: true });
  const runtime = await CriNode.start(t, lab.node, lab.scratch, [await packPause(PAUSE, lab.scratch)]);
  const held = () => readdirSync(at('networks/pods')).filter(name => /^\d/.test(name));
  return { lab, runtime, held };
}

t.test('pods by the CRI socket: host port, limits, several at once, and nothing left', { skip }, async t => {
  const { lab, runtime, held } = await setUp(t);
  const one = await runtime.pod('one', {
    port_mappings: [{ protocol: 'TCP', container_port: 80, host_port: 8080 }],
    annotations: { 'kubernetes.io/ingress-bandwidth': '10M', 'kubernetes.io/egress-bandwidth': '10M' },
  });
  t.match(one.ip, /^10\.1\.0\.\d+$/);
  t.match(lab.node.ip('link show'), /bwp[0-9a-f]{12}/);
  t.match(lab.node.must(['nft', 'list', 'ruleset']), new RegExp(`8080[\\s\\S]*${one.ip}`));
  t.equal(one.run(['cat', '/proc/sys/net/core/somaxconn']).stdout.trim(), '511');
  const others = await Promise.all(['two', 'three'].map(name => runtime.pod(name)));
  t.equal(new Set([one, ...others].map(pod => pod.ip)).size, 3, 'each has its own address');
  t.equal(one.run(['ping', '-c1', '-W10', others[0]!.ip]).code, 0, 'pod to pod');
  t.equal(held().length, 3);
  await Promise.all([one, ...others].map(pod => runtime.stopSandbox(pod.id)));
  t.strictSame(held(), []);
  t.strictSame(leftovers(lab.node), []);
});

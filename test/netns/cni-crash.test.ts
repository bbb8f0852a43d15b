import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { attempt } from '../../bench/lab/command.ts';
import { CniNode } from '../support/cni.ts';
import { need } from '../support/need.ts';
import { seeded } from '../support/random.ts';

t.setTimeout(180_000);
const skip = need('root', 'netns', 'ip', 'nft');
const child = fileURLToPath(new URL('../support/cni-crash-child.js', import.meta.url));

/*
 * SIGKILL before each act of an ADD that does all there is: interface, addresses, gateway, masquerading, spoof guard,
 * host port, bandwidth. What is left is then taken away by DEL, or by GC, and looked for.
 */
t.test(
  'killed at any step of ADD: DEL or GC leaves nothing, and the pod can come again',
  { skip },
  async t => {
    const lab = new CniNode(t);
    const subnetFile = `${lab.scratch}/subnet.env`;
    writeFileSync(
      subnetFile,
      'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_IPV6_NETWORK=fd00::/48\nFLANNEL_IPV6_SUBNET=fd00:0:0:3::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n',
    );
    const config = {
      cniVersion: '1.1.0',
      name: 'pods',
      type: 'ripstop',
      subnetFile,
      macspoofchk: true,
      ipam: { dataDir: `${lab.scratch}/networks` },
      runtimeConfig: {
        portMappings: [{ hostPort: 8080, containerPort: 80 }],
        bandwidth: { ingressRate: 8e6, ingressBurst: 8e5, egressRate: 8e6, egressBurst: 8e5 },
      },
    };
    const held = () => {
      const directory = `${lab.scratch}/networks/pods`;
      return existsSync(directory) ? readdirSync(directory).filter(name => /^(10|fd)/.test(name)) : [];
    };
    const left = (pod: { ip(line: string): string }) => [
      ...held(),
      ...(lab.node.ip('link show').match(/(veth|bwp)[0-9a-f]+/g) ?? []),
      ...(lab.node.must(['nft', 'list', 'ruleset']).match(/comment "rs.*/g) ?? []),
      ...(pod.ip('link show').match(/eth0/g) ?? []),
    ];
    let finished = false;
    let kills = 0;
    // Every second step in half of the time; the seed tells which half.
    for (let n = seeded(t, 1).between(1, 2); !finished && n < 200; n += 2) {
      const pod = lab.pod(t);
      const env = [
        'CNI_COMMAND=ADD',
        'CNI_CONTAINERID=c1',
        `CNI_NETNS=${pod.path}`,
        'CNI_IFNAME=eth0',
        `CNI_PATH=${lab.path}`,
      ];
      const argv = ['env', ...env, process.execPath, child, String(n), 'ripstop', lab.node.path];
      const { code, stdout } = attempt(argv, JSON.stringify(config));
      finished = stdout.startsWith('steps');
      if (!finished) {
        kills++;
        t.equal(code, 128, `killed before step ${n}${stdout}`);
      }
      if (n % 4 < 2) t.equal((await lab.call('DEL', config, { pod })).text, '');
      else t.equal((await lab.call('GC', { ...config, 'cni.dev/valid-attachments': [] })).text, '');
      if (n % 4 >= 2) pod.attempt(['ip', 'link', 'del', 'eth0']);
      t.strictSame(left(pod), [], `nothing is left after ${n % 4 < 2 ? 'DEL' : 'GC'} behind step ${n}`);
      pod.remove();
    }
    t.ok(finished, 'the walk came to the end of ADD');
    t.comment(`${kills} kills`);
    t.ok(kills > 15);
  },
);

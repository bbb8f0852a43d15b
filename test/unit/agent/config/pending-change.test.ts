import t from 'tap';
import { parseNetConf } from '../../../../src/agent/config/net-conf.ts';
import { reasonToWait } from '../../../../src/agent/config/pending-change.ts';
import type { Lease } from '../../../../src/agent/lease/lease.ts';
import { parsePrefix } from '../../../../src/ip/prefix.ts';

const config = (Backend: object) =>
  parseNetConf(JSON.stringify({ Network: '10.0.0.0/16', Backend: { Type: 'vxlan', ...Backend } }), 'x');

/** The lease of node `n`; of a Ripstop node where `node` is given. */
function lease(
  n: number,
  { vni = 1, node, ours = false }: { vni?: number; node?: string; ours?: boolean } = {},
): Lease {
  const subnet = `10.0.${n}.0/24`;
  return {
    key: subnet.replace('/', '-'),
    v4: parsePrefix(subnet),
    v6: undefined,
    expiresAt: undefined,
    node,
    attributes: {
      publicIp: `192.0.2.${n}`,
      publicIpv6: undefined,
      backendType: 'vxlan',
      backendData: {
        VNI: vni,
        VtepMAC: `0a:00:00:00:00:0${n}`,
        ...(ours ? { RipstopRemoteChecksum: true } : {}),
      },
      backendV6Data: undefined,
    },
  };
}

const OWN = lease(1, { node: 'n1/boot', ours: true });
const reason = (next: object, others: Lease[], silent: readonly string[] = [], own = OWN) =>
  reasonToWait(config({}), config(next), {
    own,
    leases: new Map([own, ...others].map(each => [each.key, each])),
    answers: key => !silent.includes(key) && others.some(other => other.key === key && vniOf(other) === 1),
  });
const vniOf = ({ attributes }: Lease) => (attributes.backendData as { VNI: number }).VNI;

t.test('another VNI next to nodes of flannel (J10): waits until as many have it as not', async t => {
  const all = (moved: number) => [2, 3, 4, 5].map(n => lease(n, { vni: n - 2 < moved ? 2 : 1 }));
  t.match(reason({ VNI: 2 }, all(0)), /^the change of VNI 1 to 2 waits: .*10\.0\.2\.0-24.*\(0 of them/);
  t.match(reason({ VNI: 2 }, all(1)), /1 of them/);
  t.equal(reason({ VNI: 2 }, all(2)), undefined, 'two have the new one, two the present one');
  t.equal(reason({ VNI: 2 }, all(4)), undefined);
});

t.test('a change of Type, Port or MTU next to a node of flannel (J10): waits', async t => {
  t.match(reason({ Type: 'host-gw' }, [lease(2)]), /Type vxlan to host-gw/);
  t.match(reason({ Port: 4789 }, [lease(2)]), /Port 8472 to 4789.*at its own restart or SIGHUP, as leases/);
  t.match(reason({ MTU: 1400 }, [lease(2)]), /MTU 0 to 1400/);
  t.match(reason({ MTU: 1400, VNI: 2 }, [lease(2)]), /VNI 1 to 2, MTU 0 to 1400/);
});

t.test('changes that need not wait (J10): other keys, Ripstop nodes, silent nodes', async t => {
  t.equal(reason({ DirectRouting: true }, [lease(2)]), undefined);
  t.equal(reason({ VNI: 2 }, []), undefined);
  t.equal(reason({ VNI: 2 }, [lease(2, { node: 'n2/boot' })]), undefined);
  t.equal(reason({ VNI: 2 }, [lease(2, { ours: true })]), undefined, 'a Ripstop node without a heartbeat');
  t.equal(reason({ VNI: 2 }, [lease(2)], ['10.0.2.0-24']), undefined, 'a node that does not answer');
});

t.test(
  'Nodes of Kubernetes (J10): those without the key of Ripstop are of flannel, where this node has it',
  async t => {
    const node = lease(2, { node: 'n2' });
    t.match(reason({ VNI: 2 }, [node], [], lease(1, { node: 'n1', ours: true })), /waits/);
    t.equal(reason({ VNI: 2 }, [node], [], lease(1, { node: 'n1' })), undefined);
  },
);

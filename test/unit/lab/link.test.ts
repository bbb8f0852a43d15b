import t from 'tap';
import { describeLab } from '../../../src/cli/commands/lab/lab-view.ts';
import { labVariables } from '../../../src/lab/experiment.ts';
import { readLink } from '../../../src/lab/link.ts';

t.test('conditions of a link: a rate, a delay and a loss in any order', async t => {
  t.same(readLink('1gbit'), { rate: 1e9 });
  t.same(readLink('2.5Gbit, 500us'), { rate: 2.5e9, delay: 500 });
  t.same(readLink('0.1%,1ms,100mbit'), { rate: 1e8, delay: 1000, loss: 0.1 });
  t.same(readLink('8kbit,60s'), { rate: 8000, delay: 60_000_000 });
});

t.test('conditions that are none are refused, and the words are quoted', async t => {
  for (const [text, word] of [
    ['', ''],
    ['1gbit,', ''],
    ['fast', 'fast'],
    ['1gbit,2gbit', '2gbit'],
    ['1ms,2ms', '2ms'],
    ['1%,1%', '1%'],
    ['7kbit', '7kbit'],
    ['61s', '61s'],
    ['0us', '0us'],
    ['0%', '0%'],
    ['101%', '101%'],
    ['-1ms', '-1ms'],
    ['1', '1'],
    ['1e9bit', '1e9bit'],
    ['1gbit;reboot', '1gbit;reboot'],
  ] as const)
    t.throws(
      () => readLink(text),
      {
        code: 'ECONFIG',
        message: `link "${text}": "${word}" is not a condition, or is a second one of its kind`,
      },
      text,
    );
});

const pod = (name: string, last: number) => ({
  ...{ name, netns: `rs-1-${last}` },
  ...{ ipv4: `10.244.1.${last}`, ipv6: `fd00:10:244:1::${last}` },
});
const nodes = [
  {
    ...pod('node1', 1),
    socket: '/tmp/rs-4194304/rs-4194304-1-vxlan/agent.sock',
    pods: [pod('pod1', 2), pod('pod2', 3)],
  },
  { ...pod('node2', 4), socket: null, pods: [pod('pod3', 5)] },
];

t.test('the variables name every place, and the sockets that exist', async t => {
  const variables = labVariables({ nodes });
  t.match(variables, {
    ...{ LAB_NODES: '2', LAB_PODS: '3', LAB_POD3: 'rs-1-5', LAB_POD3_IPV4: '10.244.1.5' },
    ...{ LAB_NODE1_IPV6: 'fd00:10:244:1::1', LAB_NODE1_SOCKET: nodes[0]!.socket },
  });
  t.notOk('LAB_NODE2_SOCKET' in variables);
  t.equal(Object.keys(variables).length, 2 + 5 * 3 + 1);
});

t.test('the description fits a terminal and says by what a link is made', async t => {
  const link = { bitsPerSecond: 1e9, delayMicroseconds: 1000, lossPercent: 0.1 };
  const text = describeLab({ mode: 'kernel-vxlan', underlay: 6, mtu: 1430, link, nodes });
  t.match(text, 'links: 1.00 Gbit/s by TBF, 1.00ms one way by netem, 0.1 % lost by netem');
  for (const line of text.split('\n').slice(1)) t.ok(line.length <= 80, line);
});

import { writeFileSync } from 'node:fs';
import t from 'tap';
import type { Namespace } from '../../../bench/lab/namespace.ts';
import type { Node } from '../../../bench/lab/topology.ts';
import { until } from '../../../bench/lab/until.ts';
import type { DropStatus } from '../../../src/diagnose/drops.ts';
import { configurationOf, MAIN, newStateDir, runCommand } from '../../fixtures/agents/run-node.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* What the kernel drops at the device's queue and at the tunnel's socket is among the drops, with the kernel's own number. */

const skip = skipUnless('root', 'netns', 'tun', 'ip');

/** Sends `count` datagrams of `bytes` as fast as the kernel takes them. */
function flood(from: Namespace, to: string, port: number, count: number, bytes: number): void {
  const program = `
    const socket = require('node:dgram').createSocket('udp4');
    const payload = Buffer.alloc(${bytes});
    let left = ${count};
    const next = () => { if (left-- > 0) socket.send(payload, ${port}, '${to}', next); else socket.close(); };
    next();`;
  from.must([process.execPath, '-e', program]);
}

/** Frames that the queue of the device refused, by the device's own counter. */
function queueDrops(node: Node): number {
  const [link] = JSON.parse(node.ns.must(['ip', '-j', '-s', 'link', 'show', 'flannel.1']));
  return link.stats64.tx.dropped;
}

/** Datagrams that the socket of the tunnel refused, by its row of /proc/net/udp. */
function socketDrops(node: Node): number {
  const rows = node.ns.must(['cat', '/proc/net/udp']).split('\n');
  const row = rows.find(line => line.includes(`:${(8472).toString(16).toUpperCase()} `)) ?? '';
  return Number(row.trim().split(/\s+/).at(-1));
}

t.test(
  'floods of a node that does not run, counted under a name with the numbers of the kernel',
  { skip },
  async t => {
    const lab = labFor(t);
    const [one, two] = lab.nodes as [Node, Node];
    const folder = t.testdir();
    const nodes = await Promise.all(
      [one, two].map(async (node, index) => {
        const file = `${folder}/${index}.yaml`;
        const other = index === 0 ? two : one;
        const stateDir = newStateDir();
        writeFileSync(file, JSON.stringify(configurationOf(node, [other])));
        const proc = node.ns.launch(runCommand(file, stateDir));
        await proc.saying(/"ready":true/);
        const drops = (reason: string): DropStatus | undefined => {
          const answer = node.ns.must([
            process.execPath,
            MAIN,
            'drops',
            '--json',
            `--socket=${stateDir}/agent.sock`,
          ]);
          return JSON.parse(answer).drops.find((drop: DropStatus) => drop.reason === reason);
        };
        return { proc, drops };
      }),
    );
    const [first, second] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
    const pod = one.pods[0]!;
    t.equal(first.drops('device-queue-full'), undefined, 'nothing at the device before');
    t.equal(second.drops('socket-dropped'), undefined, 'nothing at the socket before');

    first.proc.kill('SIGSTOP');
    flood(pod.ns, two.pods[0]!.address[4], 9, 4000, 18);
    first.proc.kill('SIGCONT');
    const refused = queueDrops(one);
    t.ok(refused > 1000, `the queue refused ${refused} of 4000`);
    t.equal(first.drops('device-queue-full')?.frames, refused, 'all of them are among the drops');
    t.equal(first.drops('device-queue-full')?.direction, 'egress');

    await until('the queue is empty', () => first.drops('device-queue-full')?.frames === queueDrops(one));
    second.proc.kill('SIGSTOP');
    flood(one.ns, two.underlay[4], 8472, 1000, 32_000);
    second.proc.kill('SIGCONT');
    const lost = socketDrops(two);
    t.ok(lost > 100, `the socket refused ${lost} of 1000`);
    t.equal(second.drops('socket-dropped')?.frames, lost, 'all of them are among the drops');
    t.equal(second.drops('socket-dropped')?.direction, 'ingress');
  },
);

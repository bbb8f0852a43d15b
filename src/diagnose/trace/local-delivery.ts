import { dropsForwarded } from '../../agent/rules/iptables.ts';
import type { Link } from '../../net/rtnetlink/links.ts';
import type { TraceAnswer } from './answer.ts';
import type { KernelLookup } from './kernel-lookup.ts';
import type { TraceNode } from './node.ts';
import type { TracePacket } from './packet.ts';
import type { TraceRecorder } from './recorder.ts';

/** What has to be true of a node before it hands any packet on. @returns the answer when it does not */
export async function mayForward(
  trace: TraceRecorder,
  node: TraceNode,
  kernel: KernelLookup,
  { family }: TracePacket,
): Promise<TraceAnswer | undefined> {
  const { name, on } = kernel.forwards(family);
  if (!on)
    return trace.lose(
      'forwarding',
      `${name} is 0: this node forwards nothing`,
      `sysctl -w ${name}=1, and find out what set it to 0: Ripstop sets it at start`,
    );
  if (family === 4 && !node.rules?.forward && (await dropsForwarded(node.netns)))
    return trace.lose(
      'forwarding',
      'the policy of the FORWARD chain is DROP, and no rule of Ripstop accepts pods there',
      'iptables -P FORWARD ACCEPT, or start the agent with --iptables-forward-rules',
    );
  trace.pass('forwarding', `${name} is 1`);
  return undefined;
}

/** The last step to a pod of this node, behind `link`. */
export function deliver(
  trace: TraceRecorder,
  kernel: KernelLookup,
  { destination }: TracePacket,
  link: Link,
): TraceAnswer {
  const neighbour = kernel.neighbour(link.index, destination);
  if (!link.up) return trace.lose('pod', `${link.name} is down`, `ip link set ${link.name} up`);
  if (neighbour && !neighbour.answers)
    return trace.lose(
      'pod',
      `nobody answers for ${destination} on ${link.name} (${neighbour.state})`,
      'the pod is gone, or has another address: compare with what its runtime says',
    );
  if (!neighbour) {
    trace.pass('pod', `${destination} is not known on ${link.name} yet: the kernel will ask for its MAC`);
    return trace.end('delivered', `handed to ${link.name}, if ${destination} answers there`);
  }
  const port = neighbour.mac === undefined ? undefined : kernel.forwarding(neighbour.mac)?.port;
  trace.pass(
    'pod',
    `${destination} is at ${neighbour.mac ?? 'no MAC'} on ${link.name} (${neighbour.state})${port && port !== link.name ? `, behind ${port}` : ''}`,
  );
  return trace.end('delivered', `delivered to ${destination} by ${link.name}`);
}

/** A route that was refused, or that loses the packet. */
export function refusedRoute(
  trace: TraceRecorder,
  destination: string,
  code: string,
  from: string,
): TraceAnswer {
  switch (code) {
    case 'EXDEV':
      return trace.lose(
        'route',
        `refused by the reverse path filter: answers to the source do not leave by ${from}`,
        `mend the route back to the source, or loosen net.ipv4.conf.${from}.rp_filter`,
      );
    case 'EINVAL':
      return trace.lose(
        'route',
        `the kernel refuses a packet of this source on ${from}`,
        'the source is an address of this node, or a martian: who sends it?',
      );
    default:
      return trace.lose(
        'route',
        `there is no route to ${destination} (${code})`,
        '`ripstop peers` shows who owns which subnet; a node that is missing there holds no lease',
      );
  }
}

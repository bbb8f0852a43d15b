import type { Test } from 'tap';
import type { Observed } from './reference-links.ts';

/** Asserts that ours did as the reference did, and went without a trace. */
export function asTheReference(
  t: Test,
  { theirs, ours, answer, add, mac, said, links, versions }: Observed,
): void {
  for (const part of Object.keys(theirs).filter(key => key !== 'macs'))
    t.same(ours[part], theirs[part], `${part}, as iproute2 shows it`);
  t.same(add.ips, answer.ips, 'addresses in the result');
  t.same(add.routes, answer.routes, 'routes in the result');
  t.equal(add.interfaces.length, answer.interfaces.length, 'interfaces in the result');
  t.equal(add.interfaces.at(-1).mac, mac, 'the MAC in the result is that of the interface');
  for (const [command, text] of Object.entries(said)) t.equal(text, '', command);
  t.equal(links.after, links.before, 'the node has the links that it had');
  t.equal(links.pod.trim(), 'lo', 'the pod has none');
  for (const [version, faults] of Object.entries(versions))
    t.same(faults, [], `the life of a pod in ${version}`);
}

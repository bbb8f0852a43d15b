import type { Test } from 'tap';
import type { Namespace } from '../../../src/lab/namespace.ts';
import { namespaceFor } from '../../fixtures/lab.ts';

/** Two namespaces with a veth between them. */
export function pairFor(t: Test): [Namespace, Namespace] {
  const one = namespaceFor(t);
  const two = namespaceFor(t);
  one.ip(
    `link add eth0 type veth peer name eth0 netns ${two.name}`,
    'address add 10.9.0.1/24 dev eth0',
    'address add fd09::1/64 dev eth0 nodad',
    'link set eth0 up',
  );
  two.ip('address add 10.9.0.2/24 dev eth0', 'address add fd09::2/64 dev eth0 nodad', 'link set eth0 up');
  return [one, two];
}

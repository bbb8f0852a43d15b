import t from 'tap';
import { QUANTITIES, type QuantityId } from '../../../bench/soak/churn/criterion.ts';
import { courseOf, runChurn } from '../../../bench/soak/churn/run.ts';
import { absentStore, type StoreKind } from '../../../bench/soak/churn/stores.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * A short part of the suite `soak` of the bench: everything around two agents changes again and again, and what they hold
 * returns to what it was. `npm run bench -- soak` runs it for an hour.
 */

const CYCLES: Readonly<Record<StoreKind, number>> = { file: 6, etcd: 5, kubernetes: 5 };
/** Generous: 50 MB per cycle were seen before memory was bounded, and an agent settles at some 30 MB above its start. */
const RESIDENT_MB = 60;
const HEAP_MB = 6;
/** Quantities that come back to what they were. */
const COUNTED: readonly QuantityId[] = [
  'descriptors',
  'threads',
  'namespaces',
  'routes',
  'neighbours',
  'policies',
  'rules',
  'links',
  'inodes',
];

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping', 'nft', 'iptables', 'iperf3');

for (const [kind, cycles] of Object.entries(CYCLES) as [StoreKind, number][]) {
  const lacking = skip || absentStore(kind) || false;
  t.test(
    `two agents under churn with the ${kind} store hold what they held before`,
    { skip: lacking },
    async t => {
      const result = await runChurn({ store: kind, seconds: 0, cycles }, () => {});
      t.equal(result.cycles, cycles);
      t.ok(
        result.received > 0,
        `${result.received} packets and answers, ${result.interrupted} turns interrupted`,
      );
      t.ok(result.answered > 0, 'the pods reach each other in the end');
      for (const node of result.nodes.keys()) {
        for (const quantity of COUNTED) {
          // The first cycle loads what is loaded on demand. What ends or begins just then moves a reading by one.
          const [, ...values] = courseOf(result, node, quantity).map(({ value }) => value);
          const [base, end] = [Math.max(...values.slice(0, 2)), Math.min(...values.slice(-2))];
          t.ok(end <= base, `node ${node + 1}: ${QUANTITIES[quantity].title} ${values.join(' ')}`);
        }
        const grown = (quantity: QuantityId): number => {
          const [, base = 0, ...later] = courseOf(result, node, quantity).map(({ value }) => value);
          return Math.min(...later.slice(-2)) - base;
        };
        const course = courseOf(result, node, 'privateDirty').map(({ value }) => Math.round(value));
        t.ok(grown('privateDirty') < RESIDENT_MB, `node ${node + 1}: private memory ${course.join(' ')} MB`);
        if (courseOf(result, node, 'heap').length > 0) {
          const heap = courseOf(result, node, 'heap').map(({ value }) => value.toFixed(1));
          t.ok(grown('heap') < HEAP_MB, `node ${node + 1}: heap ${heap.join(' ')} MB`);
        }
      }
    },
  );
}

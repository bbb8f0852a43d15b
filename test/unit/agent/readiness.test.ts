import t from 'tap';
import type { Part } from '../../../src/agent/overlay/part-attempts.ts';
import { Readiness } from '../../../src/agent/readiness.ts';

t.test('one part works again while another begins to fail: not ready in between', async t => {
  let times = 0;
  const readiness = new Readiness(() => times++);
  readiness.setTrue('overlay');
  readiness.setTrue('peers');
  t.equal(times, 1);
  t.same(readiness.update(new Map<Part, string>([['kernel state', 'EPERM']])), ['kernel state: EPERM']);
  t.same(readiness.update(new Map<Part, string>([['rules', 'no nft']])), ['rules: no nft']);
  t.same(readiness.reasons(), ['rules: no nft']);
  t.equal(times, 1, 'the node did not become ready');
  t.same(readiness.update(new Map<Part, string>([['rules', 'no nft']])), [], 'each reason is reported once');
  t.same(readiness.update(new Map()), []);
  t.ok(readiness.isReady);
  t.equal(times, 2);
});

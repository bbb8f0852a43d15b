import t from 'tap';
import { until } from '../../../../bench/lab/until.ts';
import { NodeCondition } from '../../../../src/agent/store/kube/condition.ts';

t.test('ready while the Event of the former readiness is written: another Event', async t => {
  const told: string[] = [];
  const writes: (() => void)[] = [];
  const condition = new NodeCondition(
    {
      setCondition: () => Promise.reject(new Error('is not maintained here')),
      tellReady: message => {
        told.push(message);
        return new Promise<void>(resolve => writes.push(resolve));
      },
      failing: () => {},
    },
    false,
  );
  t.teardown(() => condition.close());
  condition.ready('first');
  await until('the first write', () => writes.length === 1);
  condition.ready('second');
  writes[0]?.();
  await until('the second write', () => writes.length === 2);
  writes[1]?.();
  t.same(told, ['first', 'second']);
});

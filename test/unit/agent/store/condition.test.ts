import t from 'tap';
import { NodeCondition } from '../../../../src/agent/store/kube/condition.ts';
import { annotationNames, type NodeObject, readNode } from '../../../../src/agent/store/kube/node.ts';
import { until } from '../../../../src/lab/until.ts';

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

t.test('the Node changes while the condition is written: the older answer does not count', async t => {
  const node = (uid: string, status: string): NodeObject => {
    const conditions = [{ type: 'NetworkUnavailable', status }];
    return readNode({ metadata: { name: 'n1', uid }, status: { conditions } }, annotationNames('x.io'));
  };
  const told: string[] = [];
  const writes: ((answer: NodeObject) => void)[] = [];
  const condition = new NodeCondition(
    {
      setCondition: () => new Promise(resolve => writes.push(resolve)),
      tellReady: async message => void told.push(message),
      failing: () => {},
    },
    true,
  );
  t.teardown(() => condition.close());
  condition.seen(node('one', 'True'));
  condition.ready('x');
  await until('the first write', () => writes.length === 1);
  condition.seen(node('two', 'True'));
  writes[0]?.(node('one', 'False'));
  await until('a write for the new Node', () => writes.length === 2);
  writes[1]?.(node('two', 'False'));
  await until('the Event', () => told.length > 0);
  await condition.close();
  t.same(told, ['x'], 'one Event, for the new Node');
  t.equal(writes.length, 2);
});

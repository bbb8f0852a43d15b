import t from 'tap';
import { READY_FIRST, READY_SECOND } from '../../../src/dataplane/descriptor/native-arguments.ts';
import { native } from '../../../src/native/load.ts';

/** An eventfd, closed with the test. */
function event(t: { teardown(undo: () => unknown): void }): number {
  const fd = native.eventOpen();
  t.teardown(() => native.closeFd(fd));
  return fd;
}

t.test('a wait tells which descriptors are readable', async t => {
  const [first, second, control] = [event(t), event(t), event(t)];
  const look = () => native.waitReadable(first, second, control, 0, 0);
  t.equal(look(), 0);
  native.eventSignal(second);
  t.equal(look(), READY_SECOND);
  native.eventSignal(first);
  t.equal(look(), READY_FIRST | READY_SECOND);
  t.equal(native.waitReadable(first, -1, -1, 0, -1), READY_FIRST);
  t.equal(native.waitReadable(-1, second, control, 0, -1), READY_SECOND);
  native.eventClear(first);
  native.eventClear(second);
  native.eventSignal(control);
  t.equal(native.waitReadable(first, second, control, 0, -1), 0, 'the control descriptor ends it');
  t.equal(native.waitReadable(-1, -1, -1, 0, 0), 0);
});

t.test('busy polling starts after a wait that ended within the limit, and ends after a long one', async t => {
  const fd = event(t);
  const longUs = 1_000_000;
  const shortUs = 1;
  t.equal(native.busyPoll(1, 0), 0, 'a limit of 0 switches it off');
  t.equal(native.busyPoll(1, longUs), 0, 'nothing is known yet');
  native.eventSignal(fd);
  native.waitReadable(fd, -1, -1, longUs, -1);
  let polled = 0;
  for (let isFirst = 1; native.busyPoll(isFirst, longUs) === 1; isFirst = 0) polled++;
  t.ok(polled > 0, `${polled} times`);
  native.eventClear(fd);
  native.waitReadable(fd, -1, -1, shortUs, 20);
  t.equal(native.busyPoll(1, longUs), 0, 'it did not pay');
});

import t from 'tap';
import type { LeaseStore, StoreObserver } from '../../../../src/agent/lease/store.ts';
import { Rejections } from '../../../../src/agent/overlay/rejections.ts';
import { StoreWatch } from '../../../../src/agent/store/store-watch.ts';
import { RipstopError } from '../../../../src/base/errors.ts';
import type { Log } from '../../../../src/base/log.ts';

/* A store with many faulty entries must not fill the log of every node. */

function logging() {
  const warnings: string[] = [];
  const log = { info: () => {}, warn: (...args: unknown[]) => warnings.push(String(args.at(-1))) };
  return { log: log as unknown as Log, warnings };
}

t.test('a thousand leases that are rejected at once (H6): twenty lines, and all are known', async t => {
  const { log, warnings } = logging();
  const rejections = new Rejections(log);
  const all = Array.from({ length: 1000 }, (_, n) => ({
    ...{ key: `10.244.${n}`, reason: 'malformed' as const },
    message: `cannot be read: ${n}`,
  }));
  t.equal(rejections.note(all).length, 1000);
  t.equal(warnings.length, 20);
  t.equal(rejections.all.length, 1000);
  t.equal(rejections.note(all).length, 0, 'the same ones are not reported again');
});

t.test('a thousand entries that are not leases (H6): twenty lines', async t => {
  const { log, warnings } = logging();
  let observer: StoreObserver | undefined;
  const store = {
    location: 'x',
    follow: (to: StoreObserver) => {
      observer = to;
    },
  };
  const watch = new StoreWatch(store as unknown as LeaseStore, log);
  watch.follow('own', {
    leases: () => {},
    config: () => {},
    conflict: () => {},
    up: () => {},
    emptied: () => {},
  });
  for (let n = 0; n < 1000; n++) observer?.malformed(new RipstopError('ELEASE', `entry ${n} cannot be read`));
  t.equal(warnings.length, 20);
  t.match(warnings[0], /^ignoring: entry 0 cannot be read/);
});

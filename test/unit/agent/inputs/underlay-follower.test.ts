import t from 'tap';
import { UnderlayFollower } from '../../../../src/agent/inputs/underlay-follower.ts';
import { Readiness } from '../../../../src/agent/readiness.ts';
import { createLog } from '../../../../src/base/log.ts';

t.test(
  'interfaces that cannot be read: nothing moves, nothing is thrown, and the next look counts',
  async t => {
    const underlay = {
      index: 2,
      name: 'eth0',
      mtu: 1500,
      address4: '192.0.2.1',
      address6: undefined,
      public4: '192.0.2.1',
      public6: undefined,
    };
    const moves: string[] = [];
    const readiness = new Readiness(() => {});
    let isReadable = false;
    const follower = new UnderlayFollower({
      readiness,
      log: createLog('silent'),
      links: () => {
        if (!isReadable) throw new Error('the table changed during each of 20 dumps');
        return [];
      },
      move: why => moves.push(why),
    });
    t.teardown(() => follower.reset());
    follower.look(underlay, () => underlay);
    t.same(moves, []);
    t.equal(readiness.reason('underlay'), undefined);
    isReadable = true;
    follower.look(underlay, () => {
      throw new Error('none fits');
    });
    t.match(readiness.reason('underlay'), /192\.0\.2\.1 of eth0 is gone; none fits/);
  },
);

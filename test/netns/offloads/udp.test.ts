import t from 'tap';
import { offloadsOff } from '../../support/io/offloads-off.ts';
import { skipUnless } from '../../support/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ethtool');
t.test('udp: each offload off, then all', { skip }, t => offloadsOff(t, 'udp'));

import t from 'tap';
import { offloadsOff } from '../../support/io/offloads-off.ts';
import { need } from '../../support/skip-unless.ts';

const skip = need('root', 'netns', 'tun', 'ip', 'ethtool');
t.test('udp: each offload off, then all', { skip }, t => offloadsOff(t, 'udp'));

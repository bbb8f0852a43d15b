import t from 'tap';
import { need } from '../support/need.ts';
import { offloadsOff } from '../support/offloads-off.ts';

const skip = need('root', 'netns', 'tun', 'ip', 'ethtool');
t.test('udp: each offload off, then all', { skip }, t => offloadsOff(t, 'udp'));

import t from 'tap';
import { offloadsOff } from '../../fixtures/io/offloads-off.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ethtool');
t.test('vxlan: each offload off, then all', { skip }, t => offloadsOff(t, 'vxlan'));

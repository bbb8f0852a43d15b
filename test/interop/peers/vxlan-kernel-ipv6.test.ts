import t from 'tap';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { transfersWithKernel } from '../../fixtures/traffic/kernel-transfers.ts';

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'bridge', 'vxlan', 'ethtool');
t.test('hashed transfers to and from the kernel, underlay IPv6', { skip }, t => transfersWithKernel(t, 6));

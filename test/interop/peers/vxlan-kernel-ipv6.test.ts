import t from 'tap';
import { need } from '../../support/skip-unless.ts';
import { transfersWithKernel } from '../../support/traffic/kernel-transfers.ts';

const skip = need('root', 'netns', 'tun', 'ip', 'bridge', 'vxlan', 'ethtool');
t.test('hashed transfers to and from the kernel, underlay IPv6', { skip }, t => transfersWithKernel(t, 6));

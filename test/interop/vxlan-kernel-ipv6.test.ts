import t from 'tap';
import { transfersWithKernel } from '../support/kernel-transfers.ts';
import { need } from '../support/need.ts';

const skip = need('root', 'netns', 'tun', 'ip', 'bridge', 'vxlan', 'ethtool');
t.test('hashed transfers to and from the kernel, underlay IPv6', { skip }, t => transfersWithKernel(t, 6));

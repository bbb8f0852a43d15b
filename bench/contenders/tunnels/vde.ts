import { RipstopError } from '../../../src/base/errors.ts';
import type { Contender } from '../contender.ts';
import { deployTunnel, needs, otherOf, versionBy } from './tunnel.ts';

const DEVICE = 'vde0';
const PORT = 8999;
/** Outer IP and UDP, inner Ethernet. */
const MTU = 1500 - 28 - 14;

/** Virtual Distributed Ethernet: a TAP joined to its UDP plug-in, bare Ethernet frames in datagrams. */
export const vde: Contender = {
  label: 'vde over UDP',
  unavailable: needs('vdeplug', 'vde_plug'),
  version: versionBy(['dpkg-query', '-s', 'vdeplug'], /^Version: (\S+)/m),
  async deploy(lab, { underlay }) {
    // "udp://[fd31::1]:8999->..." is refused by vdeplug 4.0.1.
    if (underlay === 6) throw new RipstopError('ENOTSUP', 'vde: its UDP plug-in takes IPv4 addresses only');
    return deployTunnel(lab, {
      device: DEVICE,
      layer: 2,
      mtu: MTU,
      start(node) {
        const here = `${node.underlay[4]}:${PORT}`;
        const there = `${otherOf(lab, node).underlay[4]}:${PORT}`;
        return node.ns.launch(['vde_plug', `tap://${DEVICE}`, `udp://${here}->${there}`]);
      },
    });
  },
};

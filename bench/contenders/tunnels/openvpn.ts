import type { Contender } from '../contender.ts';
import { deployTunnel, needs, otherOf, versionBy } from './tunnel.ts';

const DEVICE = 'ovpn0';
const MTU = { 4: 1500 - 28, 6: 1500 - 48 } as const;

/** OpenVPN, point to point, neither cipher nor authentication: what its packet path alone can do. */
export const openvpn: Contender = {
  label: 'OpenVPN',
  unavailable: needs('openvpn', 'openvpn'),
  version: versionBy(['openvpn', '--version'], /OpenVPN (\S+)/),
  deploy: (lab, { underlay }) =>
    deployTunnel(lab, {
      device: DEVICE,
      layer: 3,
      mtu: MTU[underlay],
      start: node =>
        node.ns.launch([
          'openvpn',
          ...['--dev', DEVICE, '--dev-type', 'tun', '--disable-dco'],
          ...['--proto', underlay === 4 ? 'udp4' : 'udp6'],
          ...['--local', node.underlay[underlay], '--remote', otherOf(lab, node).underlay[underlay]],
          ...['--port', '1194', '--tun-mtu', `${MTU[underlay]}`, '--mssfix', '0'],
          ...['--cipher', 'none', '--auth', 'none', '--verb', '1'],
        ]),
    }),
};

/** Why a packet of a capture, or a datagram of a packet, is not judged. The reasons are constant, so that they can be counted. */
export interface NotJudged {
  readonly skipped: string;
}

export const SNAP_LENGTH = 'snap length: headers that decide are cut off';
export const OUTPUT = 'output of the captured forwarder';
export const THE_WAY_BACK = 'the way back: written to the device, for a pod of this node';
export const FRAGMENT = 'a fragment of an outer datagram';
export const MALFORMED = 'an IP or UDP header with an invalid length: the kernel drops it';
export const TAGGED =
  'a VLAN tag in a cooked capture, where the interface of the VLAN has the packet as well';
export const BETWEEN_OTHERS = 'a tunnel datagram that is not for this node';
export const OUTSIDE_THE_TUNNEL = 'traffic outside the tunnel';
export const OTHER_INTERFACE = 'pod traffic at an interface that is not the device';
export const UNKNOWN_MACS =
  'pod traffic with MACs that the configuration does not have: another interface, or `mac` is missing there';
export const NOT_IP = 'not an IP packet';
export const NO_ETHERNET = 'no Ethernet header, which frames of vxlan need';
export const TOO_LONG = 'longer than the maximum frame length';
export const NO_DATAGRAM = 'not a datagram of this overlay';
export const alsoAt = (point: string) => `also captured at ${point}`;

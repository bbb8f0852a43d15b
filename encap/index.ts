/*
 * What `import 'ripstop/encap'` gives: the wire formats and headers, as pure functions over bytes that also run in a
 * browser. Each header is a namespace, because all of them have `check`, `parse` and `format`.
 */
export { type DissectOptions, dissect, type HeaderKind, type Layer, type OpenedOverlay } from './dissect.ts';
export * from './encap.ts';
export { FORMATS } from './formats.ts';
export { innerMtu, MIN_UNDERLAY, type MtuResult, overlayMtu } from './mtu.ts';
export { buildOuter, type Outer } from './outer-header.ts';
export * as vxlan from './vxlan.ts';
export * as addresses from './wire/addresses.ts';
export * as arp from './wire/arp.ts';
export * as checksum from './wire/checksum.ts';
export * as ethernet from './wire/ethernet.ts';
export * as icmp from './wire/icmp.ts';
export * as icmpv6 from './wire/icmpv6.ts';
export * as ipv4 from './wire/ipv4.ts';
export * as ipv6 from './wire/ipv6.ts';
export * as nd from './wire/nd.ts';
export * as tcp from './wire/tcp.ts';
export * as udp from './wire/udp.ts';
export * as vlan from './wire/vlan.ts';

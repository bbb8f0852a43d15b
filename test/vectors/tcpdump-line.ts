/** A line of `tcpdump -n -t -S` as `describePacket` writes it: no IP version, no details of ICMP, the protocol by name. */
export function fromTcpdump(line: string): string {
  return line
    .replace(/^IP6? /, '')
    .replace(/^ARP, (.*), length \d+$/, 'ARP $1')
    .replace(/: Flags/, ': TCP Flags')
    .replace(/: ICMP fragment, .*offset (\d+), .*/, ': fragment at $1')
    .replace(/: frag \(.*/, ': fragment')
    .replace(/: ICMP .*(, length \d+)$/, ': ICMP$1')
    .replace(/: ICMP6, .*(, length \d+)$/, ': ICMPv6$1');
}

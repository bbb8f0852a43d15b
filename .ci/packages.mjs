/*
 * What this project takes from the distribution: how one sees that it is there, and which package brings it
 * (Debian and Ubuntu names, the first one that apt knows wins). A path that ends in `/` or holds `*` is looked
 * up as a file pattern, anything else as a command.
 */

const base = [
  { probe: 'python3', packages: ['python3'] },
  { probe: 'make', packages: ['make'] },
  { probe: 'g++', packages: ['g++'] },
  { probe: 'ip', packages: ['iproute2'] },
  { probe: 'ping', packages: ['iputils-ping'] },
  { probe: 'sysctl', packages: ['procps'] },
  { probe: 'ethtool', packages: ['ethtool'] },
  { probe: 'iperf3', packages: ['iperf3'] },
];

/** Only tests want these; a test whose tool is missing says so and is skipped. */
const tests = [
  { probe: 'tcpdump', packages: ['tcpdump'] },
  { probe: 'tshark', packages: ['tshark'] },
  { probe: 'nft', packages: ['nftables'] },
  { probe: 'iptables', packages: ['iptables'] },
  { probe: 'conntrack', packages: ['conntrack'] },
  { probe: 'chromium', packages: ['chromium', 'chromium-browser'] },
  { probe: 'busybox', packages: ['busybox-static', 'busybox'] },
  { probe: 'dnsmasq', packages: ['dnsmasq-base'] },
  { probe: 'etcd', packages: ['etcd-server'] },
  { probe: 'etcdctl', packages: ['etcd-client'] },
  { probe: 'containerd', packages: ['containerd'] },
  { probe: 'qemu-system-x86_64', packages: ['qemu-system-x86'] },
  { probe: '/usr/lib/cni/bridge', packages: ['containernetworking-plugins'] },
  { probe: '/usr/include/pcap/pcap.h', packages: ['libpcap-dev'] },
  { probe: 'clang-14', packages: ['clang-14', 'clang'], instead: 'clang' },
  { probe: 'ld.lld-14', packages: ['lld-14', 'lld'], instead: 'ld.lld' },
  {
    probe: '/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a',
    packages: ['libclang-rt-14-dev', 'libclang-rt-dev'],
  },
];

/** Packages by profile; `required` ones end the set-up when they cannot be had. */
export const profiles = {
  native: { required: base.slice(0, 3), wanted: [] },
  build: { required: base.slice(0, 3), wanted: [] },
  demo: { required: base, wanted: [] },
  test: { required: base, wanted: tests },
};

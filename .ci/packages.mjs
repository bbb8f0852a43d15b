/*
 * What this project takes from the distribution: how one sees that it is there, and which package brings it
 * (Debian and Ubuntu names, the first one that apt knows wins). A path that ends in `/` or holds `*` is looked
 * up as a file pattern, anything else as a command. `programs` are the commands of the package that the bench or the
 * tests run; the guard `programs` holds each command that they run to be listed for them here.
 */

const build = [
  { probe: 'python3', packages: ['python3'], programs: ['python3'] },
  { probe: 'make', packages: ['make'], programs: ['make'] },
  { probe: 'g++', packages: ['g++'], programs: ['g++', 'cc', 'gcc', 'readelf'] },
];

const demo = [
  ...build,
  { probe: 'ip', packages: ['iproute2'], programs: ['ip', 'bridge', 'tc', 'ss'] },
  { probe: 'ping', packages: ['iputils-ping'], programs: ['ping'] },
  { probe: 'sysctl', packages: ['procps'], programs: ['sysctl'] },
  { probe: 'ethtool', packages: ['ethtool'], programs: ['ethtool'] },
  { probe: 'iperf3', packages: ['iperf3'], programs: ['iperf3'] },
  { probe: 'taskset', packages: ['util-linux'], programs: ['taskset'] },
];

/** For the suites `cni` and `soak` of the bench and its contenders beside kernel VXLAN; one that is absent is named in the result. */
const bench = [
  { probe: 'nft', packages: ['nftables'], programs: ['nft'] },
  {
    probe: 'iptables',
    packages: ['iptables'],
    programs: [
      'iptables',
      'ip6tables',
      'iptables-save',
      'ip6tables-save',
      'iptables-restore',
      'iptables-legacy',
      'iptables-legacy-save',
      'iptables-legacy-restore',
      'ip6tables-legacy',
      'ip6tables-legacy-save',
      'iptables-nft-save',
      'ip6tables-nft-save',
    ],
  },
  { probe: '/usr/lib/cni/bridge', packages: ['containernetworking-plugins'] },
  { probe: 'etcd', packages: ['etcd-server'], programs: ['etcd'] },
  { probe: 'etcdctl', packages: ['etcd-client'], programs: ['etcdctl'] },
];

/** Only tests want these; a test whose tool is missing says so and is skipped. */
const tests = [
  ...bench,
  { probe: 'tcpdump', packages: ['tcpdump'], programs: ['tcpdump'] },
  { probe: 'tshark', packages: ['tshark'], programs: ['tshark', 'capinfos', 'editcap', 'mergecap'] },
  { probe: 'conntrack', packages: ['conntrack'], programs: ['conntrack'] },
  { probe: 'curl', packages: ['curl'], programs: ['curl'] },
  { probe: 'fish', packages: ['fish'], programs: ['fish'] },
  { probe: 'zsh', packages: ['zsh'], programs: ['zsh'] },
  { probe: 'jq', packages: ['jq'], programs: ['jq'] },
  { probe: 'openssl', packages: ['openssl'], programs: ['openssl'] },
  { probe: 'script', packages: ['bsdutils', 'bsdextrautils'], programs: ['script'] },
  { probe: 'chromium', packages: ['chromium', 'chromium-browser'], programs: ['chromium'] },
  // Wanted by its property: see busybox.mjs.
  { probe: 'busybox', packages: ['busybox-static'], programs: ['busybox'], present: 'static busybox' },
  { probe: 'dnsmasq', packages: ['dnsmasq-base'], programs: ['dnsmasq'] },
  { probe: 'containerd', packages: ['containerd'], programs: ['containerd', 'ctr'] },
  { probe: 'runc', packages: ['runc'], programs: ['runc'] },
  { probe: 'crun', packages: ['crun'], programs: ['crun'] },
  { probe: 'aa-exec', packages: ['apparmor'], programs: ['aa-exec', 'apparmor_parser'] },
  { probe: 'dbus-daemon', packages: ['dbus-daemon', 'dbus'], programs: ['dbus-daemon'] },
  // Where systemd runs, the package would enable a firewall for the next boot of the machine.
  {
    probe: 'firewalld',
    packages: ['firewalld'],
    programs: ['firewalld', 'firewall-cmd'],
    notWhere: '/run/systemd/system',
  },
  { probe: 'mmdebstrap', packages: ['mmdebstrap'], programs: ['mmdebstrap'] },
  { probe: 'systemd-notify', packages: ['systemd'], programs: ['systemd-notify', 'systemd-socket-activate'] },
  { probe: 'qemu-system-x86_64', packages: ['qemu-system-x86'], programs: ['qemu-system-x86_64'] },
  { probe: 'xz', packages: ['xz-utils'], programs: ['xz'] },
  { probe: '/usr/include/pcap/pcap.h', packages: ['libpcap-dev'] },
  { probe: 'clang-14', packages: ['clang-14', 'clang'], instead: 'clang', programs: ['clang-14', 'clang'] },
  { probe: 'ld.lld-14', packages: ['lld-14', 'lld'], instead: 'ld.lld' },
  {
    probe: '/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a',
    packages: ['libclang-rt-14-dev', 'libclang-rt-dev'],
  },
];

/** Commands that every Debian has: packages that are Essential or that apt itself depends on. */
export const ESSENTIAL = [
  ...[
    'bash',
    'sh',
    'env',
    'true',
    'false',
    'cat',
    'cp',
    'ls',
    'sleep',
    'printf',
    'timeout',
    'mkfifo',
    'head',
    'chroot',
  ],
  ...[
    'mount',
    'umount',
    'unshare',
    'nsenter',
    'flock',
    'setpriv',
    'tar',
    'gzip',
    'dpkg',
    'dpkg-deb',
    'apt-get',
    'apt-cache',
  ],
];

/** Packages by profile; `required` ones end the set-up when they cannot be had. */
export const profiles = {
  native: { required: build, wanted: [] },
  sanitize: { required: build, wanted: [] },
  build: { required: build, wanted: [] },
  package: { required: build, wanted: [] },
  demo: { required: demo, wanted: [] },
  bench: { required: demo, wanted: bench },
  test: { required: demo, wanted: tests },
};

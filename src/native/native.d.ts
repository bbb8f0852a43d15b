/**
 * The whole addon. Set-up calls throw an Error with `code`, `errno` and `syscall` when the kernel refuses; hot calls return
 * n >= 0 or -errno. Both throw a TypeError or RangeError on a wrong argument and do nothing then. JavaScript owns all memory;
 * a call uses it only until it returns.
 * `netns` is the path of a network namespace to open the descriptor in, '' for the caller's own.
 */
export interface Native {
  /** Numbers that the addon was compiled with, by group; `dataplane/io/check-addon-layout.ts` compares them at start-up. */
  readonly constants: Readonly<Record<string, Readonly<Record<string, number>>>>;

  // tun.cc -------------------------------------------------------------------------------------------------
  /**
   * Opens one queue of a TUN or TAP with a virtio-net header of `constants.tun.VNET_BYTES`. `flags` are IFF_*. From then on
   * only CAP_NET_ADMIN can attach another queue. Throws.
   */
  tunOpen(netns: string, name: string, flags: number): number;
  /**
   * Makes a persistent TAP for another program. `owner` and `group` are the ids that may attach to it without CAP_NET_ADMIN;
   * -1: none is set, and anyone may. Throws EBUSY when the name is taken.
   */
  tapCreate(netns: string, name: string, isMultiQueue: number, owner: number, group: number): void;
  /** IFF_* that this kernel accepts for a device (TUNGETFEATURES), or -errno. */
  tunFeatures(): number;
  /** IFF_* of the device behind `fd` (TUNGETIFF), or -errno. */
  tunFlags(fd: number): number;
  /** Name that the kernel gave to the device behind `fd`. Throws. */
  tunName(fd: number): string;
  /** Lets only CAP_NET_ADMIN attach queues to a device that another library opened (TUNSETOWNER). 0 or -errno. */
  tunSetOwner(fd: number): number;
  /** TUNSETOFFLOAD with a TUN_F_* mask: 0 or -errno (-EINVAL: this kernel lacks a bit). */
  tunSetOffload(fd: number, mask: number): number;
  /** TUNSETPERSIST: whether the device stays when its last descriptor is closed. 0 or -errno. */
  tunSetPersist(fd: number, on: number): number;
  /** Has a BPF program choose the queue of each frame; -1: the kernel does. 0 or -errno. */
  tunSetSteering(fd: number, program: number): number;
  /**
   * Reads frames until none is left, `max` are read or the slab is full. Frames or -errno. Does not sleep; with
   * `busyPollMicroseconds` it polls as `busyPoll` tells.
   */
  tunRead(fd: number, slab: Uint8Array, table: Int32Array, max: number, busyPollMicroseconds: number): number;
  /**
   * Writes the FORWARD frames of 0..count-1, merged as `flags` (`constants.tun`) allow; `mtu` cuts a GSO packet that came
   * whole. `stats` (`constants.stat`) are added to. Frames refused, or -errno.
   */
  tunWrite(
    fd: number,
    slab: Uint8Array,
    table: Int32Array,
    count: number,
    flags: number,
    mtu: number,
    segmentMtu: number,
    stats: Int32Array,
  ): number;

  // udp.cc -------------------------------------------------------------------------------------------------
  /** Opens a UDP socket bound to `address` (16 bytes, IPv4 mapped) and `port`. `flags`: `constants.udp`. Throws. */
  udpOpen(netns: string, address: Uint8Array, port: number, flags: number, bufferBytes: number): number;
  /** 1 when the kernel has the option (UDP_SEGMENT 103, UDP_GRO 104), else 0. UDP_GRO is on afterwards. */
  udpProbe(fd: number, option: number): number;
  /** Port that a socket is bound to. Throws. */
  udpPort(fd: number): number;
  /** SK_MEMINFO_* of linux/sock_diag.h into 9 elements: [0] bytes that wait, [8] datagrams dropped modulo 2^32. 0 or -errno. */
  udpMemory(fd: number, words: Int32Array): number;
  /**
   * Sends the FORWARD frames of 0..count-1, at most `maxSegments` datagrams per message; the last of `sockets` lets routers
   * fragment. `stats` (`constants.stat`) are added to. Frames refused, or -errno.
   */
  udpSend(
    sockets: Int32Array,
    slab: Uint8Array,
    table: Int32Array,
    count: number,
    peers: Int32Array,
    maxSegments: number,
    stats: Int32Array,
  ): number;
  /** Receives what is there; polls as `tunRead` does. One descriptor per datagram. Datagrams or -errno. */
  udpReceive(
    fd: number,
    slab: Uint8Array,
    table: Int32Array,
    sources: Int32Array,
    messages: number,
    busyPollMicroseconds: number,
    whole: number,
  ): number;
  /** Keeps DF and ignores path MTUs that ICMP reported. 0 or -errno. */
  udpIgnorePathMtu(fd: number, family: 4 | 6): number;
  /** Switches on and off that `udpReceive` fills SOURCE_HOP_LIMIT and the flow label of SOURCE_FLOW_INFO. 0 or -errno. */
  udpReportHeaders(fd: number, family: 4 | 6, isOn: number): number;
  /** Has the kernel stamp each message when it arrives: `udpReceive` then fills SOURCE_SECONDS and SOURCE_NANOSECONDS. 0 or -errno. */
  udpReportTimes(fd: number): number;
  /** Path MTU that the kernel has recorded towards an address, bytes of IP, or -errno. */
  udpPathMtu(netns: string, address: Uint8Array): number;

  // raw.cc -------------------------------------------------------------------------------------------------
  /** Raw ICMP or ICMPv6 socket. Throws. */
  rawOpen(netns: string, family: 4 | 6): number;
  /** Sends one ICMP message to `address` (16 bytes, IPv4 mapped). Bytes or -errno. */
  rawSend(fd: number, address: Uint8Array, bytes: Uint8Array): number;
  /** Raw ICMP or ICMPv6 socket that sends with DF (`rawSend`) and receives echo replies with this identifier only. Throws. */
  echoOpen(netns: string, family: 4 | 6, id: number): number;
  /**
   * One packet: its bytes or -errno (-11: none is there). `age` has one element, which receives the microseconds since the
   * packet arrived, 0 for one that the kernel did not stamp. IPv4 packets come with their IP header, IPv6 packets without.
   */
  echoReceive(fd: number, bytes: Uint8Array, age: Int32Array): number;

  // wait.cc ------------------------------------------------------------------------------------------------
  /**
   * After a read that found nothing: 1 to read again, after a yield, 0 to sleep. It learns from `waitReadable` how long that pays,
   * at most `limitMicroseconds`. `isFirst` 1: the read before that one had found something.
   */
  busyPoll(isFirst: number, limitMicroseconds: number): number;
  /**
   * Waits for one or two descriptors, or for the eventfd `control` (-1: none of these). READY_* of
   * `descriptor/native-arguments.ts`; 0 for neither; or -errno. `limitMicroseconds` is that of `busyPoll`.
   */
  waitReadable(
    first: number,
    second: number,
    control: number,
    limitMicroseconds: number,
    timeoutMs: number,
  ): number;
  /** eventfd that ends a wait. Throws. */
  eventOpen(): number;
  eventSignal(fd: number): number;
  /** Clears the signal: 1 when there was one, else 0. */
  eventClear(fd: number): number;

  // process.cc ---------------------------------------------------------------------------------------------
  /** Sets how a thread of this process is scheduled, 0 the calling one: SCHED_BATCH 3, SCHED_IDLE 5. 0 or -errno. */
  threadPolicy(thread: number, policy: number): number;
  /** The wall clock: milliseconds since 1970-01-01 UTC, with fractions. */
  wallClock(): number;
  /** Largest error of the wall clock as the kernel reports it, microseconds; -1 when it is not synchronised. */
  clockError(): number;

  // netlink.cc ---------------------------------------------------------------------------------------------
  /** Netlink socket of `protocol` (0 = route, 12 = netfilter), joined to the group mask. Throws. */
  netlinkOpen(netns: string, protocol: number, groups: number): number;
  netlinkSend(fd: number, bytes: Uint8Array): number;
  /** One datagram: its bytes, 0 on a timeout, -errno (-105 ENOBUFS: events were lost; -90: buffer too small). */
  netlinkReceive(fd: number, bytes: Uint8Array, timeoutMs: number): number;

  // fd.cc --------------------------------------------------------------------------------------------------
  /**
   * Opens a file as a task of `netns` sees it and returns the descriptor: /proc/sys/net and /sys/class/net show
   * the namespace of the task that opens them. `flags` as in open(2). Throws.
   */
  fileOpen(netns: string, path: string, flags: number): number;
  closeFd(fd: number): number;
  /** flock(2) on a descriptor: LOCK_EX 2, LOCK_NB 4, LOCK_UN 8. 0 or -errno (-11: held by another). */
  fileLock(fd: number, operation: number): number;

  // bpf.cc -------------------------------------------------------------------------------------------------
  /** Array map with one value of `valueBytes` (at most 4096), all zero. Throws. */
  bpfMap(valueBytes: number): number;
  /** Copies the value into the front of `value`, which has 4096 bytes. 0 or -errno. */
  bpfMapRead(fd: number, value: Uint8Array): number;
  /** Program from struct bpf_insn of 8 bytes each. @param type BPF_PROG_TYPE_SOCKET_FILTER (1) or BPF_PROG_TYPE_SCHED_CLS (3). Throws. */
  bpfProgram(instructions: Uint8Array, type: number): number;

  // nft.cc -------------------------------------------------------------------------------------------------
  /**
   * Runs commands of nft (bytes that end in NUL) as one transaction. `kind` 0: a listing, answered in JSON; 1: changes in
   * JSON; 2: changes in nft's language. Undefined when libnftables is not installed. Throws when the namespace cannot be
   * entered.
   */
  nftRun(
    netns: string,
    commands: Uint8Array,
    kind: number,
  ): { code: number; stdout: string; stderr: string } | undefined;

  // packet-capture.cc --------------------------------------------------------------------------------------
  /**
   * Socket for every frame that passes the interface with this index, in both directions. The kernel keeps `snap` bytes of each
   * (0: all) and as many frames as fit in `bufferBytes`. Throws.
   */
  captureOpen(netns: string, link: number, snap: number, bufferBytes: number): number;
  /**
   * Reads the frames that are there: each takes `slot` bytes of the slab and `constants.capture.STRIDE` words of the table.
   * Frames or -errno (-11: none is there, -100: the interface went away).
   */
  captureRead(fd: number, slab: Uint8Array, slot: number, table: Int32Array): number;
  /** Frames that this classic BPF program (struct sock_filter, 8 bytes each) rejects do not come. 0 or -errno. */
  captureFilter(fd: number, program: Uint8Array): number;
  /** Takes no further frame; those that are there can be read. 0 or -errno. */
  captureStop(fd: number): number;
  /** Frames that passed since the last call, and those of them that did not fit in the buffer. 0 or -errno. */
  captureStatistics(fd: number, counts: Int32Array): number;

  // packet-send.cc -----------------------------------------------------------------------------------------
  /** Socket that sends frames by the interface with this index: `tunWrite` writes to it as to a TAP. Throws. */
  frameOpen(netns: string, link: number, bufferBytes: number): number;

  // packet-socket.cc ---------------------------------------------------------------------------------------
  /** Socket for IPv4 packets, without link header, of the interface with this index. Throws. */
  packetOpen(netns: string, link: number): number;
  /** Sends one IPv4 packet to a MAC address (6 bytes). Bytes or -errno. */
  packetSend(fd: number, link: number, mac: Uint8Array, bytes: Uint8Array): number;
  /** One packet: its bytes or -errno (-11: none is there). */
  packetReceive(fd: number, bytes: Uint8Array): number;
}

// UDP sockets of the underlay: opening, and receiving with UDP_GRO. Sending is udp-send.cc.
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>

#include "address.h"
#include "call.h"
#include "constants.h"
#include "environment.h"
#include "namespace-scope.h"
#include "offload/checksum.h"
#include "offload/headers.h"
#include "unique-fd.h"

// Debian 12's headers name them; their numbers are fixed by the kernel's ABI all the same.
static_assert(UDP_SEGMENT == 103 && UDP_GRO == 104, "linux/udp.h");

namespace ripstop {
namespace {

bool SetOption(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

// The values of IP_PMTUDISC are those of IPV6_PMTUDISC (linux/in.h, linux/in6.h).
static_assert(IP_PMTUDISC_DO == IPV6_PMTUDISC_DO && IP_PMTUDISC_PROBE == IPV6_PMTUDISC_PROBE, "linux/in6.h");

bool SetDiscovery(int fd, bool ipv6, int discovery) {
  return ipv6 ? SetOption(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, discovery)
              : SetOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, discovery);
}

// Sets the options without which the socket would not be the one that was asked for. Null, or the call that failed.
const char* SetAddressing(int fd, bool ipv6, int flags) {
  if (ipv6 && !SetOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) return "setsockopt(IPV6_V6ONLY)";
  if ((flags & kReusePort) && !SetOption(fd, SOL_SOCKET, SO_REUSEPORT, 1)) return "setsockopt(SO_REUSEPORT)";
  const int discovery = flags & kReceiveOnly    ? IP_PMTUDISC_INTERFACE
                        : flags & kDontFragment ? IP_PMTUDISC_DO
                                                : IP_PMTUDISC_DONT;
  return SetDiscovery(fd, ipv6, discovery) ? nullptr : "setsockopt(MTU_DISCOVER)";
}

constexpr size_t kEthernet = 14;
constexpr size_t kTag = 4;

// Bytes before the IP header of an Ethernet frame with at most two tags (802.1Q, 802.1ad).
size_t EthernetBytes(const uint8_t* frame, size_t size) {
  size_t bytes = kEthernet;
  for (int tags = 0; tags < 2 && size >= bytes + kTag; tags++) {
    const uint16_t type = Big16(frame + bytes - 2);
    if (type != 0x8100 && type != 0x88a8) break;
    bytes += kTag;
  }
  return bytes;
}

// Whether a message is one datagram around a whole UDP GSO packet. Over a veth, a kernel peer on this host hands it over
// uncut, and UDP_GRO then tells the size of its inner segments. A message of several datagrams begins with one whose inner
// packet ends within that size.
bool HoldsGsoPacket(const uint8_t* datagram, size_t bytes, size_t header, size_t segment) {
  if (header == 0 || bytes <= header + kEthernet) return false;
  const uint8_t* frame = datagram + header;
  const size_t size = bytes - header;
  HeaderOffsets headers;
  if (!ParseHeaders(frame, size, EthernetBytes(frame, size), &headers)) return false;
  return headers.protocol == kUdp && headers.end == size && headers.end - headers.payload > segment &&
         header + headers.end > segment;
}

// The macro of musl compares a signed with an unsigned number.
cmsghdr* NextControl(const msghdr* header, cmsghdr* item) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-compare"
  return CMSG_NXTHDR(const_cast<msghdr*>(header), item);
#pragma GCC diagnostic pop
}

// linux/in6.h, which cannot be included together with netinet/in.h.
constexpr int kIpv6FlowInfo = 11;
// Traffic class and flow label are the low 28 bits of the first word of an IPv6 header (RFC 8200 section 3).
constexpr int kTrafficClassShift = 20;

// Takes over what the kernel reports of a message: the traffic class always, the others after udpReportHeaders and
// udpReportTimes. A flow info of 0 is not reported.
void ReadHeader(const cmsghdr* item, int32_t* source) {
  int32_t value = 0;
  if (item->cmsg_level == IPPROTO_IP && item->cmsg_type == IP_TOS) {
    source[kSourceFlowInfo] |= *CMSG_DATA(item) << kTrafficClassShift;
  } else if (item->cmsg_level == IPPROTO_IPV6 && item->cmsg_type == IPV6_TCLASS) {
    memcpy(&value, CMSG_DATA(item), sizeof value);
    source[kSourceFlowInfo] |= (value & 0xff) << kTrafficClassShift;
  } else if ((item->cmsg_level == IPPROTO_IP && item->cmsg_type == IP_TTL) ||
             (item->cmsg_level == IPPROTO_IPV6 && item->cmsg_type == IPV6_HOPLIMIT)) {
    memcpy(&value, CMSG_DATA(item), sizeof value);
    source[kSourceHopLimit] = value;
  } else if (item->cmsg_level == IPPROTO_IPV6 && item->cmsg_type == kIpv6FlowInfo) {
    memcpy(&value, CMSG_DATA(item), sizeof value);
    source[kSourceFlowInfo] |= static_cast<int32_t>(ntohl(static_cast<uint32_t>(value)));
  } else if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_TIMESTAMPNS) {
    timespec time;
    memcpy(&time, CMSG_DATA(item), sizeof time);
    source[kSourceSeconds] = static_cast<int32_t>(time.tv_sec);
    source[kSourceNanoseconds] = static_cast<int32_t>(time.tv_nsec);
  }
}

}  // namespace

// What one recvmmsg fills.
class Receiver {
 public:
  mmsghdr messages[kMessagesMax];
  iovec pieces[kMessagesMax];
  sockaddr_storage names[kMessagesMax];
  alignas(cmsghdr) uint8_t controls[kMessagesMax][128];
};

// udpOpen(netns, address, port, flags, bufferBytes) -> fd
// A UDP socket bound to `address` (16 bytes, IPv4 mapped) and `port` (0: any). Buffers of `bufferBytes` where the
// privilege allows, else as large as the system lets. Syscalls: setns, socket, setsockopt, bind.
napi_value UdpOpen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  char path[PATH_MAX];
  call.Text(0, path);
  const uint8_t* address = call.FixedBytes(1, kAddressBytes);
  const uint16_t port = static_cast<uint16_t>(call.Uint(2, UINT16_MAX));
  const int flags = call.Int(3, 0, kReusePort | kDontFragment | kIpv6 | kReceiveOnly);
  const int buffer = call.Int(4, 1, INT32_MAX / 2);  // the kernel doubles it
  if (!call.ok()) return nullptr;
  const bool ipv6 = flags & kIpv6;
  NamespaceScope scope(path);
  if (scope.error()) return call.Throw(scope.error(), scope.syscall());
  UniqueFd fd(socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return call.Throw(errno, "socket(AF_INET, SOCK_DGRAM)");
  const char* failed = SetAddressing(fd.get(), ipv6, flags);
  if (failed != nullptr) return call.Throw(errno, failed);
  // RFC 6935 lets tunnels leave the outer checksum out over IPv6, and kernel VXLAN does on request (udp6zerocsumtx).
  // Where it cannot be set, the kernel drops such datagrams and counts them, as without a tunnel.
  if (ipv6) SetOption(fd.get(), IPPROTO_UDP, UDP_NO_CHECK6_RX, 1);
  // Congestion marks are in the traffic class of the outer header (RFC 6040).
  const bool reports = ipv6 ? SetOption(fd.get(), IPPROTO_IPV6, IPV6_RECVTCLASS, 1)
                            : SetOption(fd.get(), IPPROTO_IP, IP_RECVTOS, 1);
  if (!reports) return call.Throw(errno, "setsockopt(RECVTOS)");
  // Buffers are best effort: without the privilege they end at the system's limit.
  if (!SetOption(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, buffer)) SetOption(fd.get(), SOL_SOCKET, SO_RCVBUF, buffer);
  if (!SetOption(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, buffer)) SetOption(fd.get(), SOL_SOCKET, SO_SNDBUF, buffer);
  sockaddr_storage name;
  const socklen_t length = ToSockaddr(&name, ipv6, address, port);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&name), length) < 0) return call.Throw(errno, "bind");
  return call.Number(fd.Release());
}

// udpProbe(fd, option) -> 1 when the kernel has the option, else 0. Syscall: setsockopt.
// UDP_GRO is switched on by it; UDP_SEGMENT is only tried and left off, since each message carries its own size.
napi_value UdpProbe(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Fd(0);
  const int option = call.Int(1, UDP_SEGMENT, UDP_GRO);
  if (!call.ok()) return nullptr;
  if (option == UDP_GRO) return call.Number(SetOption(fd, IPPROTO_UDP, UDP_GRO, 1));
  const bool supported = SetOption(fd, IPPROTO_UDP, UDP_SEGMENT, 1000);
  if (supported) SetOption(fd, IPPROTO_UDP, UDP_SEGMENT, 0);
  return call.Number(supported);
}

// udpMemory(fd, words) -> 0 or -errno; `words` receives SK_MEMINFO_* (linux/sock_diag.h), of which index 0 has the bytes
// that wait to be received and index 8 the datagrams that the kernel dropped at the socket, modulo 2^32: the receive
// buffer was full, or the UDP checksum was wrong. -ENOPROTOOPT before Linux 4.12. Syscall: getsockopt.
napi_value UdpMemory(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t count;
  const int fd = call.Fd(0);
  int32_t* words = call.Ints(1, &count);
  call.Require(count == SK_MEMINFO_VARS, 1, "an Int32Array of 9 elements");
  if (!call.ok()) return nullptr;
  socklen_t length = sizeof(uint32_t) * SK_MEMINFO_VARS;
  return call.NumberOrErrno(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, words, &length));
}

// udpPort(fd) -> the port that the socket is bound to. Syscall: getsockname.
napi_value UdpPort(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Fd(0);
  if (!call.ok()) return nullptr;
  sockaddr_storage name{};
  socklen_t length = sizeof name;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&name), &length) < 0) return call.Throw(errno, "getsockname");
  uint8_t address[kAddressBytes];
  return call.Number(FromSockaddr(name, address));
}

// udpIgnorePathMtu(fd, family) -> 0 or -errno. The socket keeps DF, and the kernel refuses only what the interface does not
// take: a path MTU that ICMP reported does not count any more. Syscall: setsockopt.
napi_value UdpIgnorePathMtu(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Fd(0);
  const int family = call.Int(1, 4, 6);
  call.Require(family != 5, 1, "4 or 6");
  if (!call.ok()) return nullptr;
  return call.Number(SetDiscovery(fd, family == 6, IP_PMTUDISC_PROBE) ? 0 : -errno);
}

// udpReportTimes(fd) -> 0 or -errno. From then on the kernel stamps each message with the wall clock when it arrives, and udpReceive
// hands the stamp over. Syscall: setsockopt.
napi_value UdpReportTimes(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Fd(0);
  if (!call.ok()) return nullptr;
  return call.Number(SetOption(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1) ? 0 : -errno);
}

// udpReportHeaders(fd, family, isOn) -> 0 or -errno. From then on the kernel hands over hop limit and flow label of each message,
// also of those that wait already: it reads them when the message is received. The traffic class is always there.
// Syscall: setsockopt.
napi_value UdpReportHeaders(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Fd(0);
  const int family = call.Int(1, 4, 6);
  const int on = call.Int(2, 0, 1);
  call.Require(family != 5, 1, "4 or 6");
  if (!call.ok()) return nullptr;
  const bool is_set = family == 6 ? SetOption(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, on) &&
                                        SetOption(fd, IPPROTO_IPV6, kIpv6FlowInfo, on)
                                  : SetOption(fd, IPPROTO_IP, IP_RECVTTL, on);
  return call.Number(is_set ? 0 : -errno);
}

// udpPathMtu(netns, address) -> path MTU that the kernel has recorded towards `address`, bytes of IP, or -errno
// Syscalls: setns, socket, connect, getsockopt(IP_MTU).
napi_value UdpPathMtu(napi_env env, napi_callback_info info) {
  Call call(env, info);
  char path[PATH_MAX];
  call.Text(0, path);
  const uint8_t* address = call.FixedBytes(1, kAddressBytes);
  if (!call.ok()) return nullptr;
  const bool ipv6 = !IsMapped(address);
  NamespaceScope scope(path);
  if (scope.error()) return call.Number(-scope.error());
  const UniqueFd fd(socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return call.Number(-errno);
  sockaddr_storage name;
  const socklen_t length = ToSockaddr(&name, ipv6, address, 9);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&name), length) < 0) return call.Number(-errno);
  int mtu = 0;
  socklen_t mtu_size = sizeof mtu;
  const int result = ipv6 ? getsockopt(fd.get(), IPPROTO_IPV6, IPV6_MTU, &mtu, &mtu_size)
                          : getsockopt(fd.get(), IPPROTO_IP, IP_MTU, &mtu, &mtu_size);
  return call.Number(result < 0 ? -errno : mtu);
}

// udpReceive(fd, slab, table, sources, messages, busyPollUs, whole) -> datagrams or -errno
// Receives up to `messages` messages into equal slots of the slab and leaves one descriptor per datagram: a message
// that the kernel coalesced (UDP_GRO) holds many. `whole` is the size of the encapsulation where a datagram may hold a whole
// UDP GSO packet, whose segment size is left in the descriptor; else 0. Does not sleep; with `busyPollUs` it polls while there is
// no message (Polling).
// Syscalls: recvmmsg, sched_yield.
napi_value UdpReceive(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t slab_size, table_size, sources_size;
  const int fd = call.Fd(0);
  uint8_t* slab = call.Bytes(1, &slab_size);
  int32_t* table = call.Ints(2, &table_size);
  int32_t* sources = call.Ints(3, &sources_size);
  const size_t wanted = static_cast<size_t>(call.Int(4, 1, kMessagesMax));
  const int64_t busy_poll_ns = call.Int(5, 0, kBusyPollMaxUs) * 1000LL;
  const size_t whole = static_cast<size_t>(call.Int(6, 0, kHeadroom));
  call.Require(wanted <= sources_size / kSourceStride, 4, "at most the sources of argument 4");
  // Slots are an odd number of cache lines apart, or all their headers would fall into the same cache sets.
  const size_t slot = call.ok() ? slab_size / wanted / 64 * 64 : 0;
  call.Require(slot >= kHeadroom + 65536, 1, "a slab with one slot per message");
  if (!call.ok()) return nullptr;
  Environment& environment = Environment::Of(env);
  Receiver& scratch = environment.receiver.Get();
  for (size_t i = 0; i < wanted; i++) {
    scratch.pieces[i] = {slab + i * slot + kHeadroom, slot - kHeadroom};
    msghdr& header = scratch.messages[i].msg_hdr;
    header = {};
    header.msg_name = &scratch.names[i];
    header.msg_namelen = sizeof scratch.names[i];
    header.msg_iov = &scratch.pieces[i];
    header.msg_iovlen = 1;
    header.msg_control = scratch.controls[i];
    header.msg_controllen = sizeof scratch.controls[i];
  }

  int received;
  for (bool is_first = true;; is_first = false) {
    received = recvmmsg(fd, scratch.messages, static_cast<unsigned>(wanted), MSG_DONTWAIT, nullptr);
    if (received > 0) break;
    if (errno == EINTR || errno == ECONNREFUSED) continue;  // an ICMP error for an earlier send does not matter here
    if (errno != EAGAIN) return call.Number(-errno);
    if (!environment.polling.Again(is_first, busy_poll_ns)) return call.Number(0);
  }

  const size_t limit = table_size / kStride;
  size_t count = 0;
  for (int i = 0; i < received; i++) {
    const msghdr& header = scratch.messages[i].msg_hdr;
    int32_t* source = sources + i * kSourceStride;
    const uint32_t bytes = scratch.messages[i].msg_len;
    source[kSourcePort] = FromSockaddr(scratch.names[i], source + kSourceAddress);
    source[kSourceTruncated] = (header.msg_flags & MSG_TRUNC) ? 1 : 0;
    source[kSourceHopLimit] = -1;
    source[kSourceFlowInfo] = 0;
    source[kSourceSeconds] = source[kSourceNanoseconds] = 0;
    uint32_t stride = bytes;
    for (cmsghdr* item = CMSG_FIRSTHDR(&header); item; item = NextControl(&header, item)) {
      if (item->cmsg_level != IPPROTO_UDP || item->cmsg_type != UDP_GRO) {
        ReadHeader(item, source);
        continue;
      }
      int size;
      memcpy(&size, CMSG_DATA(item), sizeof size);
      if (size > 0) stride = static_cast<uint32_t>(size);
    }
    const uint8_t* payload = slab + static_cast<size_t>(i) * slot + kHeadroom;
    uint32_t gso_size = 0;
    if (stride < bytes && HoldsGsoPacket(payload, bytes, whole, stride)) {
      gso_size = stride;
      stride = bytes;
    }
    source[kSourceBytes] = static_cast<int32_t>(stride);
    const int32_t start = static_cast<int32_t>(static_cast<size_t>(i) * slot) + kHeadroom;
    for (uint32_t at = 0; at < bytes || at == 0; at += stride) {
      if (count == limit) {  // cannot happen with 128 descriptors per message; what is cut is reported as truncated
        source[kSourceTruncated] = 1;
        break;
      }
      int32_t* descriptor = table + count * kStride;
      descriptor[kOffset] = start + static_cast<int32_t>(at);
      descriptor[kLength] = static_cast<int32_t>(bytes - at < stride ? bytes - at : stride);
      descriptor[kOffload] = 0;
      descriptor[kGsoSize] = static_cast<int32_t>(gso_size);
      descriptor[kVerdict] = kPending;
      descriptor[kSource] = i;
      descriptor[kError] = 0;
      descriptor[kSegments] = 0;
      count++;
      if (stride == 0) break;
    }
  }
  return call.Number(static_cast<double>(count));
}

}  // namespace ripstop

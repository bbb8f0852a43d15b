// UDP sockets of the underlay: opening, and receiving with UDP_GRO. Sending is send.cc.
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "constants.h"
#include "call.h"
#include "namespace-scope.h"
#include "wait.h"

// Debian 12's headers name them; their numbers are fixed by the kernel's ABI all the same.
static_assert(UDP_SEGMENT == 103 && UDP_GRO == 104, "linux/udp.h");

namespace ripstop {
namespace {

socklen_t FillAddress(sockaddr_storage* storage, bool ipv6, const uint8_t* address, uint16_t port) {
  memset(storage, 0, sizeof *storage);
  if (ipv6) {
    auto* six = reinterpret_cast<sockaddr_in6*>(storage);
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    memcpy(&six->sin6_addr, address, 16);
    return sizeof *six;
  }
  auto* four = reinterpret_cast<sockaddr_in*>(storage);
  four->sin_family = AF_INET;
  four->sin_port = htons(port);
  memcpy(&four->sin_addr, address + 12, 4);
  return sizeof *four;
}

bool IsMapped(const uint8_t* address) {
  static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return memcmp(address, prefix, sizeof prefix) == 0;
}

int SetOption(int fd, int level, int option, int value) { return setsockopt(fd, level, option, &value, sizeof value); }

}  // namespace

// udpOpen(netns, address, port, flags, bufferBytes) -> fd
// A UDP socket bound to `address` (16 bytes, IPv4 mapped) and `port` (0: any). Buffers of `bufferBytes` where the
// privilege allows, else as large as the system lets. Syscalls: setns, socket, setsockopt, bind.
napi_value UdpOpen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  char path[512];
  size_t size;
  if (!call.Text(0, path, sizeof path)) return nullptr;
  const uint8_t* address = call.Bytes(1, &size);
  if (size != 16) return call.Throw(EINVAL, "udpOpen(address)");
  const uint16_t port = static_cast<uint16_t>(call.Int(2));
  const int flags = call.Int(3);
  const int buffer = call.Int(4);
  const bool ipv6 = flags & kIpv6;
  NamespaceScope scope(path);
  if (scope.error()) return call.Throw(scope.error(), scope.syscall());
  const int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return call.Throw(errno, "socket(AF_INET, SOCK_DGRAM)");
  if (ipv6) {
    SetOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    // RFC 6935 lets tunnels leave the outer checksum out over IPv6, and kernel VXLAN does on request (udp6zerocsumtx).
    SetOption(fd, IPPROTO_UDP, UDP_NO_CHECK6_RX, 1);
  }
  if (flags & kReusePort) SetOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  const bool dont = flags & kDontFragment;
  if (ipv6) SetOption(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, dont ? IPV6_PMTUDISC_DO : IPV6_PMTUDISC_DONT);
  else SetOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, dont ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT);
  if (SetOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, buffer) < 0) SetOption(fd, SOL_SOCKET, SO_RCVBUF, buffer);
  if (SetOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, buffer) < 0) SetOption(fd, SOL_SOCKET, SO_SNDBUF, buffer);
  sockaddr_storage storage;
  const socklen_t length = FillAddress(&storage, ipv6, address, port);
  if (bind(fd, reinterpret_cast<sockaddr*>(&storage), length) < 0) {
    const int error = errno;
    close(fd);
    return call.Throw(error, "bind");
  }
  return call.Number(fd);
}

// udpProbe(fd, option) -> 1 when the kernel took the option, else 0
// UDP_GRO is switched on by it; UDP_SEGMENT is only tried and left off, since each message carries its own size.
napi_value UdpProbe(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const int option = call.Int(1);
  if (option != UDP_SEGMENT) return call.Number(SetOption(fd, IPPROTO_UDP, option, 1) == 0);
  const bool taken = SetOption(fd, IPPROTO_UDP, option, 1000) == 0;
  if (taken) SetOption(fd, IPPROTO_UDP, option, 0);
  return call.Number(taken);
}

// udpPort(fd) -> the port that the socket is bound to. Syscall: getsockname.
napi_value UdpPort(napi_env env, napi_callback_info info) {
  Call call(env, info);
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (getsockname(call.Int(0), reinterpret_cast<sockaddr*>(&storage), &length) < 0)
    return call.Throw(errno, "getsockname");
  // The port stands at the same place in both families.
  return call.Number(ntohs(reinterpret_cast<sockaddr_in*>(&storage)->sin_port));
}

// udpPathMtu(netns, address) -> bytes of the largest IP packet that the kernel believes in, or -errno
// Syscalls: setns, socket, connect, getsockopt(IP_MTU).
napi_value UdpPathMtu(napi_env env, napi_callback_info info) {
  Call call(env, info);
  char path[512];
  size_t size;
  if (!call.Text(0, path, sizeof path)) return nullptr;
  const uint8_t* address = call.Bytes(1, &size);
  if (size != 16) return call.Number(-EINVAL);
  const bool ipv6 = !IsMapped(address);
  NamespaceScope scope(path);
  if (scope.error()) return call.Number(-scope.error());
  const int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return call.Number(-errno);
  sockaddr_storage storage;
  const socklen_t length = FillAddress(&storage, ipv6, address, 9);
  int mtu = 0;
  socklen_t mtu_size = sizeof mtu;
  int result = connect(fd, reinterpret_cast<sockaddr*>(&storage), length);
  if (result == 0)
    result = ipv6 ? getsockopt(fd, IPPROTO_IPV6, IPV6_MTU, &mtu, &mtu_size)
                  : getsockopt(fd, IPPROTO_IP, IP_MTU, &mtu, &mtu_size);
  const int error = errno;
  close(fd);
  return call.Number(result < 0 ? -error : mtu);
}

// udpReceive(fd, control, slab, table, sources, messages, spinUs, timeoutMs) -> datagrams or -errno
// Receives up to `messages` messages into equal slots of the slab and leaves one descriptor a datagram: a message that
// the kernel coalesced (UDP_GRO) holds many. Syscalls: recvmmsg, sched_yield, poll.
napi_value UdpReceive(napi_env env, napi_callback_info info) {
  struct Scratch {
    mmsghdr messages[kMessagesMax];
    iovec pieces[kMessagesMax];
    sockaddr_storage names[kMessagesMax];
    alignas(cmsghdr) uint8_t controls[kMessagesMax][64];
  };
  static thread_local Scratch own;
  Scratch& scratch = own;  // one look-up of the thread's own
  Call call(env, info);
  const int fd = call.Int(0);
  const int control = call.Int(1);
  size_t slab_size, table_size, sources_size;
  uint8_t* slab = call.Bytes(2, &slab_size);
  int32_t* table = call.Ints(3, &table_size);
  int32_t* sources = call.Ints(4, &sources_size);
  size_t wanted = call.Uint(5);
  AdaptivePoller poller(call.Int(6));
  int timeout_ms = call.Int(7);
  if (wanted > size_t{kMessagesMax}) wanted = kMessagesMax;
  if (wanted > sources_size / kSourceStride) wanted = sources_size / kSourceStride;
  if (wanted == 0) return call.Number(-EINVAL);
  // Slots are an odd number of cache lines apart, or all their headers would fall into the same cache sets.
  const size_t slot = (slab_size / wanted) / 64 * 64;
  if (slot < kHeadroom + 65536) return call.Number(-EINVAL);
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
  for (;;) {
    received = recvmmsg(fd, scratch.messages, static_cast<unsigned>(wanted), MSG_DONTWAIT, nullptr);
    if (received > 0) break;
    if (errno == EINTR || errno == ECONNREFUSED) continue;  // an ICMP answer to an earlier send is no news here
    if (errno != EAGAIN) return call.Number(-errno);
    if (poller.ShouldSpin()) continue;
    if (timeout_ms == 0) return call.Number(0);
    const int ready = poller.Wait(fd, control, timeout_ms);
    if (ready <= 0) return call.Number(ready);
    timeout_ms = 0;
  }

  const size_t limit = table_size / kStride;
  size_t count = 0;
  for (int i = 0; i < received; i++) {
    const msghdr& header = scratch.messages[i].msg_hdr;
    int32_t* source = sources + i * kSourceStride;
    const uint32_t bytes = scratch.messages[i].msg_len;
    const auto* four = reinterpret_cast<const sockaddr_in*>(header.msg_name);
    if (four->sin_family == AF_INET6) {
      memcpy(source + kSourceAddress, &reinterpret_cast<const sockaddr_in6*>(header.msg_name)->sin6_addr, 16);
    } else {
      uint8_t mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
      memcpy(mapped + 12, &four->sin_addr, 4);
      memcpy(source + kSourceAddress, mapped, 16);
    }
    source[kSourcePort] = ntohs(four->sin_port);
    source[kSourceTruncated] = (header.msg_flags & MSG_TRUNC) ? 1 : 0;
    uint32_t stride = bytes;
    for (cmsghdr* item = CMSG_FIRSTHDR(&header); item; item = CMSG_NXTHDR(const_cast<msghdr*>(&header), item)) {
      int size;
      if (item->cmsg_level != IPPROTO_UDP || item->cmsg_type != UDP_GRO) continue;
      memcpy(&size, CMSG_DATA(item), sizeof size);
      if (size > 0) stride = static_cast<uint32_t>(size);
    }
    source[kSourceBytes] = static_cast<int32_t>(stride);
    const int32_t start = static_cast<int32_t>(static_cast<size_t>(i) * slot) + kHeadroom;
    for (uint32_t at = 0; at < bytes || at == 0; at += stride) {
      if (count == limit) {  // cannot happen with 128 descriptors a message; what is cut is told as truncated
        source[kSourceTruncated] = 1;
        break;
      }
      int32_t* descriptor = table + count * kStride;
      descriptor[kOffset] = start + static_cast<int32_t>(at);
      descriptor[kLength] = static_cast<int32_t>(bytes - at < stride ? bytes - at : stride);
      descriptor[kOffload] = 0;
      descriptor[kGsoSize] = 0;
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

// Raw ICMP sockets: one that only sends, for the answers of the slow path, and one that sends echo requests and
// receives the replies, for the probes. The kernel picks the route and the source address.
#include <linux/filter.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <iterator>
#include <utility>

#include "address.h"
#include "call.h"
#include "namespace-scope.h"
#include "unique-fd.h"

namespace ripstop {
namespace {

// ICMP_FILTER of linux/icmp.h, which cannot be included next to musl's netinet/in.h.
constexpr int kIcmpFilter = 1;

// Room for the replies of a burst of echoes of full size; the kernel doubles it.
constexpr int kEchoBuffer = 1 << 20;

// Opens a raw ICMP socket as the arguments (netns, family) of a call say. -1 when the call has thrown.
int OpenIcmp(Call& call, bool* ipv6) {
  char path[PATH_MAX];
  call.Text(0, path);
  const int family = call.Int(1, 4, 6);
  call.Require(family != 5, 1, "4 or 6");
  if (!call.ok()) return -1;
  *ipv6 = family == 6;
  NamespaceScope scope(path);
  if (scope.error()) {
    call.Throw(scope.error(), scope.syscall());
    return -1;
  }
  const int fd = socket(*ipv6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                        *ipv6 ? static_cast<int>(IPPROTO_ICMPV6) : static_cast<int>(IPPROTO_ICMP));
  if (fd < 0) call.Throw(errno, "socket(SOCK_RAW, ICMP)");
  return fd;
}

bool SetOption(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

// The kernel queues echo replies only: both filters name the types to leave out.
bool FilterEchoReplies(int fd, bool ipv6) {
  if (ipv6) {
    icmp6_filter filter;
    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
    return setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter) == 0;
  }
  const uint32_t filter = ~(1U << ICMP_ECHOREPLY);
  return setsockopt(fd, SOL_RAW, kIcmpFilter, &filter, sizeof filter) == 0;
}

// The kernel queues replies with this identifier only: a flood of others costs no time of this process, and takes no room
// from the replies that are waited for. Packets begin with their IP header for IPv4 and behind it for IPv6.
bool FilterIdentifier(int fd, bool ipv6, uint16_t id) {
  constexpr uint32_t kIdentifier = 4;
  sock_filter v4[] = {
      BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),  // length of the IP header
      BPF_STMT(BPF_LD | BPF_H | BPF_IND, kIdentifier),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, id, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  sock_filter v6[] = {
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, kIdentifier),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, id, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  const sock_fprog program = ipv6 ? sock_fprog{std::size(v6), v6} : sock_fprog{std::size(v4), v4};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}

// The kernel queues nothing. Best effort: what is queued in vain is never read.
void FilterEverything(int fd, bool ipv6) {
  if (ipv6) {
    icmp6_filter filter;
    ICMP6_FILTER_SETBLOCKALL(&filter);
    setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter);
  } else {
    const uint32_t filter = UINT32_MAX;
    setsockopt(fd, SOL_RAW, kIcmpFilter, &filter, sizeof filter);
  }
}

// Sets the options without which the socket would not be the one that was asked for. Null, or the call that failed.
const char* SetEchoOptions(int fd, bool ipv6, uint16_t id) {
  // Every packet has DF, and the path MTU that the kernel has recorded does not limit its size.
  const bool probe = ipv6 ? SetOption(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE)
                          : SetOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
  if (!probe) return "setsockopt(MTU_DISCOVER)";
  if (!FilterEchoReplies(fd, ipv6)) return "setsockopt(ICMP_FILTER)";
  if (!FilterIdentifier(fd, ipv6, id)) return "setsockopt(SO_ATTACH_FILTER)";
  if (!SetOption(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1)) return "setsockopt(SO_TIMESTAMPNS)";
  return nullptr;
}

// Microseconds since the kernel received the message; 0 where the clock was set back meanwhile. The time stamp is the
// only control message that the socket asks for. The kernel begins to stamp packets some time after the first socket has
// asked for it; a packet before that has the time of this call, so that its age is 0.
int32_t AgeOf(msghdr& message) {
  const cmsghdr* part = CMSG_FIRSTHDR(&message);
  if (part == nullptr || part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_TIMESTAMPNS) return 0;
  timespec then, now;
  memcpy(&then, CMSG_DATA(part), sizeof then);
  clock_gettime(CLOCK_REALTIME, &now);
  const int64_t age = (now.tv_sec - then.tv_sec) * 1000000LL + (now.tv_nsec - then.tv_nsec) / 1000;
  return static_cast<int32_t>(std::clamp<int64_t>(age, 0, INT32_MAX));
}

}  // namespace

// rawOpen(netns, family) -> fd, non-blocking. Syscalls: setns, socket. Capability: CAP_NET_RAW.
napi_value RawOpen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  bool ipv6;
  UniqueFd fd(OpenIcmp(call, &ipv6));
  if (!fd) return nullptr;
  // Nothing is ever read from this socket. The smallest buffer only limits what the kernel queues in vain, so a refusal
  // changes nothing.
  SetOption(fd.get(), SOL_SOCKET, SO_RCVBUF, 0);
  FilterEverything(fd.get(), ipv6);
  return call.Number(fd.Release());
}

// rawSend(fd, address, bytes) -> bytes or -errno. Syscall: sendto.
napi_value RawSend(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t size;
  const int fd = call.Fd(0);
  const uint8_t* address = call.FixedBytes(1, kAddressBytes);
  const uint8_t* bytes = call.Bytes(2, &size);
  if (!call.ok()) return nullptr;
  sockaddr_storage name;
  const socklen_t name_size = ToSockaddr(&name, !IsMapped(address), address, 0);
  return call.NumberOrErrno(sendto(fd, bytes, size, 0, reinterpret_cast<sockaddr*>(&name), name_size));
}

// echoOpen(netns, family, id) -> fd, non-blocking: sends with DF and receives echo replies with this identifier only, each
// with the time of its arrival. Syscalls: setns, socket, setsockopt. Capability: CAP_NET_RAW.
napi_value EchoOpen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  bool ipv6;
  const uint16_t id = static_cast<uint16_t>(call.Uint(2, UINT16_MAX));
  UniqueFd fd(OpenIcmp(call, &ipv6));
  if (!fd) return nullptr;
  const char* failed = SetEchoOptions(fd.get(), ipv6, id);
  if (failed != nullptr) return call.Throw(errno, failed);
  // Buffers are best effort: without the privilege they end at the system's limit.
  for (const auto& [forced, plain] : {std::pair{SO_RCVBUFFORCE, SO_RCVBUF}, std::pair{SO_SNDBUFFORCE, SO_SNDBUF}})
    if (!SetOption(fd.get(), SOL_SOCKET, forced, kEchoBuffer)) SetOption(fd.get(), SOL_SOCKET, plain, kEchoBuffer);
  return call.Number(fd.Release());
}

// echoReceive(fd, bytes, age) -> bytes of one packet or -errno; -EAGAIN when none is there. `age` receives how long ago
// the packet arrived, microseconds. IPv4 packets come with their IP header, IPv6 packets without. Syscalls: recvmsg,
// clock_gettime.
napi_value EchoReceive(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t size, ages;
  const int fd = call.Fd(0);
  uint8_t* bytes = call.Bytes(1, &size);
  int32_t* age = call.Ints(2, &ages);
  call.Require(ages == 1, 2, "an Int32Array of 1 element");
  if (!call.ok()) return nullptr;
  alignas(cmsghdr) uint8_t control[64];
  iovec piece{bytes, size};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t count = recvmsg(fd, &message, MSG_DONTWAIT);
  if (count >= 0) *age = AgeOf(message);
  return call.NumberOrErrno(count);
}

}  // namespace ripstop

// Raw ICMP sockets, for the answers of the slow path: the kernel picks the route and the source address.
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <climits>

#include "address.h"
#include "call.h"
#include "namespace-scope.h"

namespace ripstop {

// rawOpen(netns, family) -> fd, non-blocking. Syscalls: setns, socket. Capability: CAP_NET_RAW.
napi_value RawOpen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  char path[PATH_MAX];
  call.Text(0, path);
  const int family = call.Int(1, 4, 6);
  call.Require(family != 5, 1, "4 or 6");
  if (!call.ok()) return nullptr;
  const bool ipv6 = family == 6;
  NamespaceScope scope(path);
  if (scope.error()) return call.Throw(scope.error(), scope.syscall());
  const int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                        ipv6 ? static_cast<int>(IPPROTO_ICMPV6) : static_cast<int>(IPPROTO_ICMP));
  if (fd < 0) return call.Throw(errno, "socket(SOCK_RAW, ICMP)");
  // Nothing is ever read from this socket. The smallest buffer only limits what the kernel queues in vain, so a refusal
  // changes nothing.
  const int none = 0;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &none, sizeof none);
  return call.Number(fd);
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

}  // namespace ripstop

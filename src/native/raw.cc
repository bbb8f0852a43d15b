// Raw ICMP sockets, for the answers of the slow room: the kernel picks the route and the source address.
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "call.h"
#include "namespace-scope.h"

namespace ripstop {

// rawOpen(netns, family) -> fd, non-blocking. Syscalls: setns, socket. Capability: CAP_NET_RAW.
napi_value RawOpen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  char path[512];
  if (!call.Text(0, path, sizeof path)) return nullptr;
  const bool ipv6 = call.Int(1) == 6;
  NamespaceScope scope(path);
  if (scope.error()) return call.Throw(scope.error(), scope.syscall());
  const int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                        ipv6 ? static_cast<int>(IPPROTO_ICMPV6) : static_cast<int>(IPPROTO_ICMP));
  if (fd < 0) return call.Throw(errno, "socket(SOCK_RAW, ICMP)");
  const int none = 0;  // nothing is ever read from it: keep its queue from filling
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &none, sizeof none);
  return call.Number(fd);
}

// rawSend(fd, address, bytes, length) -> bytes or -errno. Syscall: sendto.
napi_value RawSend(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t address_size, size;
  const uint8_t* address = call.Bytes(1, &address_size);
  const uint8_t* bytes = call.Bytes(2, &size);
  const size_t length = call.Uint(3);
  if (address_size != 16 || length > size) return call.Number(-EINVAL);
  static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  sockaddr_storage name{};
  socklen_t name_size;
  if (memcmp(address, mapped, sizeof mapped) == 0) {
    auto* four = reinterpret_cast<sockaddr_in*>(&name);
    four->sin_family = AF_INET;
    memcpy(&four->sin_addr, address + 12, 4);
    name_size = sizeof *four;
  } else {
    auto* six = reinterpret_cast<sockaddr_in6*>(&name);
    six->sin6_family = AF_INET6;
    memcpy(&six->sin6_addr, address, 16);
    name_size = sizeof *six;
  }
  const ssize_t sent = sendto(call.Int(0), bytes, length, 0, reinterpret_cast<sockaddr*>(&name), name_size);
  return call.Number(sent < 0 ? -errno : static_cast<double>(sent));
}

}  // namespace ripstop

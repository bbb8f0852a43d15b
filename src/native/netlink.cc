// Netlink sockets for the cold kernel plumbing in src/net. The codec is TypeScript; here are only the bytes.
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "call.h"
#include "namespace-scope.h"

namespace ripstop {

// netlinkOpen(netns, protocol, groups) -> fd
// A netlink socket of `protocol` opened inside `netns` ("" = here), joined to the multicast group mask `groups`,
// with extended acknowledgements and strict dump checks. Syscalls: setns, socket, bind, setsockopt.
napi_value NetlinkOpen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  char path[512];
  if (!call.Text(0, path, sizeof path)) return nullptr;
  int protocol = call.Int(1);
  NamespaceScope scope(path);
  if (scope.error()) return call.Throw(scope.error(), scope.syscall());
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (fd < 0) return call.Throw(errno, "socket(AF_NETLINK)");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = call.Uint(2);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) {
    int error = errno;
    close(fd);
    return call.Throw(error, "bind(AF_NETLINK)");
  }
  const int on = 1;
  const int receive_bytes = 4 << 20;
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_bytes, sizeof receive_bytes);
  return call.Number(fd);
}

// netlinkSend(fd, bytes) -> bytes sent or -errno
napi_value NetlinkSend(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t size;
  const uint8_t* bytes = call.Bytes(1, &size);
  ssize_t sent = send(call.Int(0), bytes, size, 0);
  return call.Number(sent < 0 ? -errno : static_cast<double>(sent));
}

// netlinkReceive(fd, bytes, timeoutMs) -> bytes of one datagram, 0 on a timeout, -errno (-EMSGSIZE: buffer too small)
napi_value NetlinkReceive(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t size;
  uint8_t* bytes = call.Bytes(1, &size);
  pollfd waited{call.Int(0), POLLIN, 0};
  int ready = poll(&waited, 1, call.Int(2));
  if (ready < 0) return call.Number(-errno);
  if (ready == 0) return call.Number(0);
  ssize_t received = recv(waited.fd, bytes, size, MSG_DONTWAIT | MSG_TRUNC);
  if (received < 0) return call.Number(-errno);
  if (static_cast<size_t>(received) > size) return call.Number(-EMSGSIZE);
  return call.Number(static_cast<double>(received));
}

}  // namespace ripstop

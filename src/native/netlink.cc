// Netlink sockets for the cold kernel plumbing in src/net. The codec is TypeScript; here are only the bytes.
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <climits>

#include "call.h"
#include "namespace-scope.h"
#include "unique-fd.h"

namespace ripstop {

// netlinkOpen(netns, protocol, groups) -> fd
// A netlink socket of `protocol` opened inside `netns` ("" = here), joined to the multicast group mask `groups`,
// with extended acknowledgements and strict dump checks. Syscalls: setns, socket, bind, setsockopt.
napi_value NetlinkOpen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  char path[PATH_MAX];
  call.Text(0, path);
  const int protocol = call.Int(1, 0, MAX_LINKS - 1);
  const uint32_t groups = call.Uint(2);
  if (!call.ok()) return nullptr;
  NamespaceScope scope(path);
  if (scope.error()) return call.Throw(scope.error(), scope.syscall());
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd) return call.Throw(errno, "socket(AF_NETLINK)");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0)
    return call.Throw(errno, "bind(AF_NETLINK)");
  // All four may fail. Without EXT_ACK errors have no text, without CAP_ACK they repeat the request, without strict
  // checks a dump is not filtered by the kernel: the reader handles each case. Without the buffer, events are lost
  // earlier, which the kernel reports as ENOBUFS.
  const int on = 1;
  const int receive_bytes = 4 << 20;
  setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  setsockopt(fd.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &receive_bytes, sizeof receive_bytes);
  return call.Number(fd.Release());
}

// netlinkSend(fd, bytes) -> bytes sent or -errno. Syscall: send.
napi_value NetlinkSend(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t size;
  const int fd = call.Fd(0);
  const uint8_t* bytes = call.Bytes(1, &size);
  if (!call.ok()) return nullptr;
  return call.NumberOrErrno(send(fd, bytes, size, 0));
}

// netlinkReceive(fd, bytes, timeoutMs) -> bytes of one datagram, 0 on a timeout, -errno (-EMSGSIZE: buffer too small)
// Syscalls: poll, recv.
napi_value NetlinkReceive(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t size;
  const int fd = call.Fd(0);
  uint8_t* bytes = call.Bytes(1, &size);
  const int timeout_ms = call.Timeout(2);
  if (!call.ok()) return nullptr;
  pollfd waited{fd, POLLIN, 0};
  const int ready = poll(&waited, 1, timeout_ms);
  if (ready <= 0) return call.NumberOrErrno(ready);
  const ssize_t received = recv(fd, bytes, size, MSG_DONTWAIT | MSG_TRUNC);
  if (received > 0 && static_cast<size_t>(received) > size) return call.Number(-EMSGSIZE);
  return call.NumberOrErrno(received);
}

}  // namespace ripstop

// Frames that a process sends by an interface, each behind a virtio-net header: the socket takes what a TAP takes, so tunWrite
// writes to both.
#include <linux/if_packet.h>
#include <sys/socket.h>

#include <cerrno>
#include <climits>

#include "call.h"
#include "constants.h"
#include "namespace-scope.h"
#include "unique-fd.h"

// Since Linux 6.4; Debian 12's headers do not have it.
#ifndef PACKET_VNET_HDR_SZ
#define PACKET_VNET_HDR_SZ 24
#endif

namespace ripstop {

// frameOpen(netns, link, bufferBytes) -> fd, blocking: it sends by the interface with index `link` of `netns` and receives nothing.
// Throws ENOPROTOOPT before Linux 6.4. Syscalls: setns, socket, setsockopt, bind. Capability: CAP_NET_RAW.
napi_value FrameOpen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  char path[PATH_MAX];
  call.Text(0, path);
  const int link = call.Int(1, 1, INT32_MAX);
  const int buffer = call.Int(2, 1, INT32_MAX / 2);  // the kernel doubles it
  if (!call.ok()) return nullptr;
  NamespaceScope scope(path);
  if (scope.error()) return call.Throw(scope.error(), scope.syscall());
  UniqueFd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!fd) return call.Throw(errno, "socket(AF_PACKET)");
  const int header = sizeof(VnetHeader);
  if (setsockopt(fd.get(), SOL_PACKET, PACKET_VNET_HDR_SZ, &header, sizeof header) < 0)
    return call.Throw(errno, "setsockopt(PACKET_VNET_HDR_SZ)");
  // Best effort: without the privilege it ends at the system's limit.
  if (setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer) < 0)
    setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
  sockaddr_ll name{};
  name.sll_family = AF_PACKET;
  name.sll_ifindex = link;
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) < 0)
    return call.Throw(errno, "bind(AF_PACKET)");
  return call.Number(fd.Release());
}

}  // namespace ripstop

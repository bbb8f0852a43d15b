// IPv4 packets on an interface that has no address yet: AF_PACKET sockets for the DHCP client.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include <cerrno>
#include <climits>
#include <cstring>

#include "call.h"
#include "namespace-scope.h"
#include "unique-fd.h"

namespace ripstop {
namespace {

sockaddr_ll LinkName(int link) {
  sockaddr_ll name{};
  name.sll_family = AF_PACKET;
  name.sll_protocol = htons(ETH_P_IP);
  name.sll_ifindex = link;
  return name;
}

}  // namespace

// packetOpen(netns, link) -> fd, non-blocking: IPv4 packets, without their link header, that come in by the interface
// with index `link` of `netns`. Syscalls: setns, socket, bind. Capability: CAP_NET_RAW.
napi_value PacketOpen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  char path[PATH_MAX];
  call.Text(0, path);
  const int link = call.Int(1, 1, INT32_MAX);
  if (!call.ok()) return nullptr;
  NamespaceScope scope(path);
  if (scope.error()) return call.Throw(scope.error(), scope.syscall());
  UniqueFd fd(socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_IP)));
  if (!fd) return call.Throw(errno, "socket(AF_PACKET)");
  const sockaddr_ll name = LinkName(link);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) < 0)
    return call.Throw(errno, "bind(AF_PACKET)");
  return call.Number(fd.Release());
}

// packetSend(fd, link, mac, bytes) -> bytes or -errno. Syscall: sendto.
napi_value PacketSend(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t size;
  const int fd = call.Fd(0);
  const int link = call.Int(1, 1, INT32_MAX);
  const uint8_t* mac = call.FixedBytes(2, ETH_ALEN);
  const uint8_t* bytes = call.Bytes(3, &size);
  if (!call.ok()) return nullptr;
  sockaddr_ll name = LinkName(link);
  name.sll_halen = ETH_ALEN;
  memcpy(name.sll_addr, mac, ETH_ALEN);
  return call.NumberOrErrno(sendto(fd, bytes, size, 0, reinterpret_cast<sockaddr*>(&name), sizeof name));
}

// packetReceive(fd, bytes) -> bytes of one packet or -errno; -EAGAIN when none is there. Syscall: recv.
napi_value PacketReceive(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t size;
  const int fd = call.Fd(0);
  uint8_t* bytes = call.Bytes(1, &size);
  if (!call.ok()) return nullptr;
  return call.NumberOrErrno(recv(fd, bytes, size, MSG_DONTWAIT));
}

}  // namespace ripstop

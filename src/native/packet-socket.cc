// IPv4 packets below the kernel's own addresses: a DHCP client speaks before its interface has one.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "call.h"
#include "namespace-scope.h"

namespace ripstop {

// packetOpen(netns, link) -> fd, non-blocking: IPv4 packets, without their link header, that come in by the interface
// with index `link` of `netns`. Syscalls: setns, socket, bind. Capability: CAP_NET_RAW.
napi_value PacketOpen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  char path[512];
  if (!call.Text(0, path, sizeof path)) return nullptr;
  NamespaceScope scope(path);
  if (scope.error()) return call.Throw(scope.error(), scope.syscall());
  const int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_IP));
  if (fd < 0) return call.Throw(errno, "socket(AF_PACKET)");
  sockaddr_ll name{};
  name.sll_family = AF_PACKET;
  name.sll_protocol = htons(ETH_P_IP);
  name.sll_ifindex = call.Int(1);
  if (bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) < 0) {
    const int error = errno;
    close(fd);
    return call.Throw(error, "bind(AF_PACKET)");
  }
  return call.Number(fd);
}

// packetSend(fd, link, mac, bytes) -> bytes or -errno. Syscall: sendto.
napi_value PacketSend(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t mac_size, size;
  const uint8_t* mac = call.Bytes(2, &mac_size);
  const uint8_t* bytes = call.Bytes(3, &size);
  if (mac_size != ETH_ALEN) return call.Number(-EINVAL);
  sockaddr_ll name{};
  name.sll_family = AF_PACKET;
  name.sll_protocol = htons(ETH_P_IP);
  name.sll_ifindex = call.Int(1);
  name.sll_halen = ETH_ALEN;
  memcpy(name.sll_addr, mac, ETH_ALEN);
  const ssize_t sent = sendto(call.Int(0), bytes, size, 0, reinterpret_cast<sockaddr*>(&name), sizeof name);
  return call.Number(sent < 0 ? -errno : static_cast<double>(sent));
}

// packetReceive(fd, bytes) -> bytes of one packet or -errno; -EAGAIN when none is there. Syscall: recv.
napi_value PacketReceive(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t size;
  uint8_t* bytes = call.Bytes(1, &size);
  const ssize_t received = recv(call.Int(0), bytes, size, MSG_DONTWAIT);
  return call.Number(received < 0 ? -errno : static_cast<double>(received));
}

}  // namespace ripstop

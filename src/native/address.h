// The one form in which both languages pass an IP address, 16 bytes in network order with IPv4 as ::ffff:a.b.c.d, to
// and from the kernel's sockaddr.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ripstop {

constexpr size_t kAddressBytes = 16;
constexpr uint8_t kMappedPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

inline bool IsMapped(const uint8_t* address) { return memcmp(address, kMappedPrefix, sizeof kMappedPrefix) == 0; }

// Fills `storage` and returns the length of the name. An IPv4 socket needs an IPv4 name, so the family is the caller's
// choice: `::` is the wildcard of both.
inline socklen_t ToSockaddr(sockaddr_storage* storage, bool ipv6, const uint8_t* address, uint16_t port) {
  if (ipv6) {
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(port);
    memcpy(&six.sin6_addr, address, kAddressBytes);
    memcpy(storage, &six, sizeof six);
    return sizeof six;
  }
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(port);
  memcpy(&four.sin_addr, address + sizeof kMappedPrefix, sizeof four.sin_addr);
  memcpy(storage, &four, sizeof four);
  return sizeof four;
}

// Writes the address of `storage` to `address` (16 bytes) and returns the port.
inline uint16_t FromSockaddr(const sockaddr_storage& storage, void* address) {
  auto* bytes = static_cast<uint8_t*>(address);
  if (storage.ss_family == AF_INET6) {
    sockaddr_in6 six;
    memcpy(&six, &storage, sizeof six);
    memcpy(bytes, &six.sin6_addr, kAddressBytes);
    return ntohs(six.sin6_port);
  }
  sockaddr_in four;
  memcpy(&four, &storage, sizeof four);
  memcpy(bytes, kMappedPrefix, sizeof kMappedPrefix);
  memcpy(bytes + sizeof kMappedPrefix, &four.sin_addr, sizeof four.sin_addr);
  return ntohs(four.sin_port);
}

}  // namespace ripstop

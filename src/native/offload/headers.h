// Finds the headers of an inner packet and checks their length fields. Pure: no system calls, no N-API; the fuzzers
// call it directly.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ripstop {

constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;

struct HeaderOffsets {
  uint8_t version = 0;   // 4 or 6
  uint8_t protocol = 0;  // TCP or UDP
  uint16_t l3 = 0;       // bytes before the IP header
  uint16_t l4 = 0;       // bytes before the TCP or UDP header
  uint16_t payload = 0;  // bytes before the payload
  uint32_t end = 0;      // bytes up to the end of the IP packet; the frame may be padded behind it
};

// Finds IP and TCP or UDP in a frame whose IP header begins at `l3`. Returns true only for packets that may be merged:
// a whole TCP or UDP packet over IPv4 without options or fragments, or over IPv6 without extension headers.
bool ParseHeaders(const uint8_t* frame, size_t size, size_t l3, HeaderOffsets* offsets);

// Sum of the TCP or UDP pseudo-header (RFC 9293 3.1, RFC 768, RFC 8200 8.1) for `length` bytes of L4, in memory order.
uint64_t PseudoSum(const uint8_t* frame, const HeaderOffsets& offsets, uint32_t length);

// Offset of the checksum field within the L4 header.
inline uint16_t ChecksumOffset(uint8_t protocol) { return protocol == kTcp ? 16 : 6; }

}  // namespace ripstop

// The Internet checksum (RFC 1071) in memory order: 16-bit words as the processor loads them, so that a folded sum is
// stored without swapping and pseudo-header words are added as they lie in the packet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ripstop {

inline uint16_t Fold(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

inline uint16_t Load16(const uint8_t* bytes) {
  uint16_t value;
  memcpy(&value, bytes, 2);
  return value;
}

inline uint32_t Load32(const uint8_t* bytes) {
  uint32_t value;
  memcpy(&value, bytes, 4);
  return value;
}

// Sum of what vectors are worth the start for. See Sum.
uint64_t SumLong(const uint8_t* bytes, size_t size);

// Sum of `size` bytes; a trailing odd byte is padded with zero behind it. Never overflows for size < 2^32.
inline uint64_t Sum(const uint8_t* bytes, size_t size) {
  if (size >= 128) return SumLong(bytes, size);
  uint64_t total = 0;
  size_t at = 0;
  for (; at + 4 <= size; at += 4) total += Load32(bytes + at);
  if (size - at >= 2) {
    total += Load16(bytes + at);
    at += 2;
  }
  return size > at ? total + bytes[at] : total;
}

inline void Store16(uint8_t* bytes, uint16_t value) { memcpy(bytes, &value, 2); }
inline void Store32(uint8_t* bytes, uint32_t value) { memcpy(bytes, &value, 4); }

inline uint16_t Big16(const uint8_t* bytes) { return __builtin_bswap16(Load16(bytes)); }
inline uint32_t Big32(const uint8_t* bytes) { return __builtin_bswap32(Load32(bytes)); }
inline void StoreBig16(uint8_t* bytes, uint32_t value) {
  Store16(bytes, __builtin_bswap16(static_cast<uint16_t>(value)));
}
inline void StoreBig32(uint8_t* bytes, uint32_t value) { Store32(bytes, __builtin_bswap32(value)); }

}  // namespace ripstop

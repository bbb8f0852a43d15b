#include "checksum.h"

namespace ripstop {

// 32-bit words into 64-bit lanes: no carries to chase, and the compiler turns the loop into vector adds. Clones pick
// the widest vectors of the machine; a sanitizer build has no ifunc support and takes the plain loop.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
uint64_t Sum(const uint8_t* bytes, size_t size) {
  uint64_t a = 0, b = 0, c = 0, d = 0;
  size_t words = size / 4;
  size_t i = 0;
  for (; i + 16 <= words; i += 16) {
    uint32_t block[16];
    memcpy(block, bytes + i * 4, sizeof block);
    for (int lane = 0; lane < 4; lane++) {
      a += block[lane];
      b += block[lane + 4];
      c += block[lane + 8];
      d += block[lane + 12];
    }
  }
  for (; i < words; i++) a += Load32(bytes + i * 4);
  size_t rest = words * 4;
  if (size - rest >= 2) {
    b += Load16(bytes + rest);
    rest += 2;
  }
  if (size > rest) c += bytes[rest];
  return a + b + c + d;
}

}  // namespace ripstop

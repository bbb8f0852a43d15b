#include "checksum.h"

namespace ripstop {
namespace {

// Eight 64-bit lanes; the compiler maps them onto whatever vectors the machine has.
typedef uint64_t Lanes __attribute__((vector_size(64)));

}  // namespace

// 32-bit words into 64-bit lanes, low and high halves apart: no carries to chase. Clones pick the widest vectors of the
// machine; a sanitizer build has no ifunc support and takes the plain one.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
uint64_t
SumLong(const uint8_t* bytes, size_t size) {
  Lanes low{}, high{}, low2{}, high2{};
  size_t at = 0;
  for (; at + 128 <= size; at += 128) {
    Lanes first, second;
    memcpy(&first, bytes + at, sizeof first);
    memcpy(&second, bytes + at + 64, sizeof second);
    low += first & 0xffffffff;
    high += first >> 32;
    low2 += second & 0xffffffff;
    high2 += second >> 32;
  }
  const Lanes sums = low + high + low2 + high2;
  uint64_t total = 0;
  for (int lane = 0; lane < 8; lane++) total += sums[lane];
  // A multiple of 128 is even, so the words of the rest line up with those before.
  return total + Sum(bytes + at, size - at);
}

}  // namespace ripstop

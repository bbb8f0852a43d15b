/*
 * SHA-256 (FIPS 180-4) of a stream, with the processor's SHA instructions where it has them: a gigabyte is then
 * hashed in less time than a tunnel needs to carry it.
 */
#ifndef RIPSTOP_SHA256_H
#define RIPSTOP_SHA256_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sha256 {
  uint32_t state[8];
  uint64_t bytes;
  uint8_t tail[64];
  void (*blocks)(uint32_t state[8], const uint8_t *data, size_t count);
};

static const uint32_t SHA256_K[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static inline uint32_t sha256_ror(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha256_blocks_plain(uint32_t state[8], const uint8_t *data, size_t count) {
  for (; count > 0; count--, data += 64) {
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++) {
      const uint8_t *p = data + 4 * i;
      w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    }
    for (int i = 16; i < 64; i++) {
      uint32_t a = w[i - 15], b = w[i - 2];
      uint32_t s0 = sha256_ror(a, 7) ^ sha256_ror(a, 18) ^ a >> 3;
      uint32_t s1 = sha256_ror(b, 17) ^ sha256_ror(b, 19) ^ b >> 10;
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    memcpy(v, state, sizeof v);
    for (int i = 0; i < 64; i++) {
      uint32_t s1 = sha256_ror(v[4], 6) ^ sha256_ror(v[4], 11) ^ sha256_ror(v[4], 25);
      uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + SHA256_K[i] + w[i];
      uint32_t s0 = sha256_ror(v[0], 2) ^ sha256_ror(v[0], 13) ^ sha256_ror(v[0], 22);
      uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
      memmove(v + 1, v, 7 * sizeof v[0]);
      v[4] += t1;
      v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) state[i] += v[i];
  }
}

#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>

/* The instructions keep the state as two vectors, {a b e f} and {c d g h}, and do four rounds a step. */
__attribute__((target("sha,sse4.1,ssse3"))) static void sha256_blocks_ni(uint32_t state[8], const uint8_t *data,
                                                                         size_t count) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
  const __m128i dcba = _mm_loadu_si128((const __m128i *)state);
  const __m128i hgfe = _mm_loadu_si128((const __m128i *)(state + 4));
  const __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
  const __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
  __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
  for (; count > 0; count--, data += 64) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4];
    for (int i = 0; i < 4; i++) w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * i)), swap);
    for (int step = 0; step < 16; step++) {
      __m128i words = w[step & 3];
      __m128i sum = _mm_add_epi32(words, _mm_load_si128((const __m128i *)(SHA256_K + 4 * step)));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
      if (step < 12) {
        /* w[t+16..t+19] from w[t], w[t+4], w[t+8] and w[t+12]. */
        const __m128i w3 = w[(step + 3) & 3];
        __m128i next = _mm_sha256msg1_epu32(words, w[(step + 1) & 3]);
        next = _mm_add_epi32(next, _mm_alignr_epi8(w3, w[(step + 2) & 3], 4));
        w[step & 3] = _mm_sha256msg2_epu32(next, w3);
      }
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  const __m128i feba = _mm_shuffle_epi32(abef, 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

static int sha256_have_ni(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1)) return 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}
#endif

static void sha256_start(struct sha256 *h) {
  static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memcpy(h->state, first, sizeof first);
  h->bytes = 0;
  h->blocks = sha256_blocks_plain;
#ifdef __x86_64__
  if (sha256_have_ni()) h->blocks = sha256_blocks_ni;
#endif
}

static void sha256_add(struct sha256 *h, const void *data, size_t length) {
  const uint8_t *p = data;
  size_t held = h->bytes % 64;
  h->bytes += length;
  if (held > 0) {
    size_t take = 64 - held < length ? 64 - held : length;
    memcpy(h->tail + held, p, take);
    p += take, length -= take;
    if (held + take < 64) return;
    h->blocks(h->state, h->tail, 1);
  }
  h->blocks(h->state, p, length / 64);
  memcpy(h->tail, p + length / 64 * 64, length % 64);
}

/* Ends the hash and writes it as 64 hexadecimal digits and a zero byte. */
static void sha256_end(struct sha256 *h, char hex[65]) {
  uint64_t bits = h->bytes * 8;
  uint8_t pad[72] = {0x80};
  size_t zeros = (119 - h->bytes % 64) % 64;
  for (int i = 0; i < 8; i++) pad[1 + zeros + i] = (uint8_t)(bits >> (56 - 8 * i));
  sha256_add(h, pad, 9 + zeros);
  static const char digit[] = "0123456789abcdef";
  for (int i = 0; i < 64; i++) hex[i] = digit[h->state[i / 8] >> (28 - 4 * (i % 8)) & 15];
  hex[64] = 0;
}

#endif

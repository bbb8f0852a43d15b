/* Prints the SHA-256 of standard input, as the transfer computes it; the tests compare it with Node's. */
#include <stdio.h>
#include <unistd.h>
#include "sha256.h"

int main(int argc, char **argv) {
  static uint8_t buffer[70001];
  char hex[65];
  struct sha256 hash;
  sha256_start(&hash);
  if (argc > 1 && strcmp(argv[1], "plain") == 0) hash.blocks = sha256_blocks_plain;
  for (ssize_t n; (n = read(0, buffer, sizeof buffer)) > 0;) sha256_add(&hash, buffer, (size_t)n);
  sha256_end(&hash, hex);
  puts(hex);
  return 0;
}

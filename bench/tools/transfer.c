/*
 * A file transfer whose content is not stored: the sender streams what its seed generates, both ends hash it.
 *   transfer receive ADDRESS PORT SECONDS             prints `listening PORT`, then one JSON line
 *   transfer send ADDRESS PORT BYTES SEED SECONDS     prints one JSON line
 * Equal values of `sha256` mean equal contents. SECONDS bounds the whole run.
 */
#include "tool.h"
#include "sha256.h"

enum { CHUNK = 256 << 10 };
static uint64_t chunk[CHUNK / 8];

static void report(struct sha256 *hash, uint64_t began) {
  char hex[65];
  uint64_t bytes = hash->bytes;
  double seconds = (double)(now_ns() - began) / 1e9;
  sha256_end(hash, hex);
  printf("{\"bytes\":%llu,\"seconds\":%.6f,\"sha256\":\"%s\"}\n", (unsigned long long)bytes, seconds, hex);
}

static void receive(const char *address, const char *port) {
  struct sha256 hash;
  int listener = serve(address, port, SOCK_STREAM);
  int fd = accept(listener, NULL, NULL);
  if (fd < 0) die("accept");
  uint64_t began = now_ns();
  sha256_start(&hash);
  for (ssize_t n; (n = read(fd, chunk, CHUNK)) != 0;) {
    if (n < 0) die("read");
    sha256_add(&hash, chunk, (size_t)n);
  }
  /* One byte back: the sender's time includes the last byte's arrival. */
  if (write(fd, "k", 1) != 1) die("write");
  report(&hash, began);
}

static void send_all(const char *address, const char *port, uint64_t bytes, uint64_t seed) {
  struct sha256 hash;
  char answer;
  int fd = reach(address, port, SOCK_STREAM);
  uint64_t began = now_ns();
  sha256_start(&hash);
  for (uint64_t left = bytes; left > 0;) {
    size_t length = left < CHUNK ? left : CHUNK;
    for (size_t i = 0; i < (length + 7) / 8; i++) chunk[i] = next_random(&seed);
    sha256_add(&hash, chunk, length);
    for (size_t done = 0; done < length;) {
      ssize_t n = write(fd, (char *)chunk + done, length - done);
      if (n < 0) die("write");
      done += (size_t)n;
    }
    left -= length;
  }
  if (shutdown(fd, SHUT_WR) != 0) die("shutdown");
  if (read(fd, &answer, 1) != 1) die("read");
  report(&hash, began);
}

int main(int argc, char **argv) {
  if (argc == 5 && strcmp(argv[1], "receive") == 0) {
    end_after(number(argv[4], "SECONDS"));
    receive(argv[2], argv[3]);
  } else if (argc == 7 && strcmp(argv[1], "send") == 0) {
    end_after(number(argv[6], "SECONDS"));
    send_all(argv[2], argv[3], number(argv[4], "BYTES"), number(argv[5], "SEED"));
  } else {
    fputs("usage: transfer receive ADDRESS PORT SECONDS | send ADDRESS PORT BYTES SEED SECONDS\n", stderr);
    return 2;
  }
  return 0;
}

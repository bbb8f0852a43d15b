/*
 * How long one byte takes there and back.
 *   roundtrip serve ADDRESS PORT KIND SECONDS     prints `listening PORT`, answers until it is ended
 *   roundtrip ask ADDRESS PORT KIND SECONDS       asks for SECONDS, then prints one JSON line, times in microseconds
 * KIND: `tcp` and `udp` ask again and again over one socket; `connect` opens a TCP connection for every question, so
 * that its rate is connections per second.
 */
#include <netinet/tcp.h>
#include <pthread.h>
#include "tool.h"

enum { WARM_UP = 200, MOST = 4 << 20 };
enum kind { TCP, UDP, CONNECT };

static void no_delay(int fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void *answer_stream(void *argument) {
  int fd = (int)(intptr_t)argument;
  char byte;
  no_delay(fd);
  while (read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1) continue;
  close(fd);
  return NULL;
}

static void answer(const char *address, const char *port, enum kind kind) {
  int fd = serve(address, port, kind == UDP ? SOCK_DGRAM : SOCK_STREAM);
  for (;;) {
    if (kind == UDP) {
      struct sockaddr_storage from;
      socklen_t length = sizeof from;
      char bytes[16];
      ssize_t n = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length);
      if (n > 0 && sendto(fd, bytes, (size_t)n, 0, (struct sockaddr *)&from, length) < 0) perror("sendto");
      continue;
    }
    int peer = accept(fd, NULL, NULL);
    if (peer < 0) die("accept");
    pthread_t thread;
    if (kind == CONNECT) answer_stream((void *)(intptr_t)peer);
    else if (pthread_create(&thread, NULL, answer_stream, (void *)(intptr_t)peer) != 0) die("pthread_create");
  }
}

/* One question over `fd`; 0 when no answer came in time. A late answer to an earlier question is passed over. */
static int question(int fd, enum kind kind, uint32_t round) {
  if (kind != UDP) {
    char byte = 'q';
    return write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 1;
  }
  uint8_t sent = (uint8_t)round, got;
  if (send(fd, &sent, 1, 0) != 1) return 0;
  for (;;) {
    if (recv(fd, &got, 1, 0) != 1) return 0;
    if (got == sent) return 1;
  }
}

/* A connection ends with a reset: a thousand a second would otherwise leave no port free of TIME_WAIT. */
static void drop(int fd) {
  struct linger now = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}

static int ascending(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static void ask(const char *address, const char *port, enum kind kind, uint64_t seconds) {
  uint32_t *times = malloc(MOST * sizeof *times);
  if (times == NULL) die("malloc");
  int fd = kind == CONNECT ? -1 : reach(address, port, kind == UDP ? SOCK_DGRAM : SOCK_STREAM);
  struct timeval patience = {0, 500000};
  if (kind == TCP) no_delay(fd), patience.tv_sec = 5;
  if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  uint32_t count = 0, lost = 0;
  for (uint32_t i = 0; kind != CONNECT && i < WARM_UP; i++) question(fd, kind, i);
  uint64_t began = now_ns(), end = began + seconds * 1000000000u, now = began;
  for (uint32_t round = WARM_UP; now < end && count < MOST; round++) {
    uint64_t start = now_ns();
    if (kind == CONNECT) fd = reach(address, port, SOCK_STREAM);
    int answered = question(fd, kind, round);
    if (kind == CONNECT) drop(fd);
    now = now_ns();
    if (answered) times[count++] = (uint32_t)(now - start > UINT32_MAX ? UINT32_MAX : now - start);
    else lost++;
    if (!answered && kind == TCP) die("no answer");
  }
  double span = (double)(now - began) / 1e9;
  if (count == 0) {
    fputs("no question was answered\n", stderr);
    exit(1);
  }
  qsort(times, count, sizeof *times, ascending);
#define AT(share) ((double)times[(uint32_t)((double)(count - 1) * (share) + 0.5)] / 1e3)
  printf("{\"count\":%u,\"lost\":%u,\"seconds\":%.6f,\"rate\":%.1f,\"min\":%.2f,\"p50\":%.2f,\"p90\":%.2f,\"p99\":%.2f,"
         "\"p999\":%.2f,\"max\":%.2f}\n",
         count, lost, span, (double)count / span, AT(0), AT(0.5), AT(0.9), AT(0.99), AT(0.999), AT(1));
}

static enum kind read_kind(const char *word) {
  if (strcmp(word, "tcp") == 0) return TCP;
  if (strcmp(word, "udp") == 0) return UDP;
  if (strcmp(word, "connect") == 0) return CONNECT;
  fprintf(stderr, "KIND is tcp, udp or connect, not \"%s\"\n", word);
  exit(2);
}

int main(int argc, char **argv) {
  if (argc != 6 || (strcmp(argv[1], "serve") != 0 && strcmp(argv[1], "ask") != 0)) {
    fputs("usage: roundtrip serve|ask ADDRESS PORT KIND SECONDS\n", stderr);
    return 2;
  }
  enum kind kind = read_kind(argv[4]);
  uint64_t seconds = number(argv[5], "SECONDS");
  end_after(seconds + 10);
  if (argv[1][0] == 's') answer(argv[2], argv[3], kind);
  else ask(argv[2], argv[3], kind, seconds);
  return 0;
}

/*
 * Packet rate over UDP: one side sends numbered datagrams, the other counts them.
 *   packets receive ADDRESS PORT SECONDS                      prints `listening PORT`, then one JSON line
 *   packets send ADDRESS PORT SIZE FLOWS RATE SECONDS         prints one JSON line
 * SIZE: UDP payload in bytes, 24 at least. FLOWS: sockets, each with a source port of its own. RATE: packets a second
 * over all flows, 0 for as fast as it goes. The receiver ends shortly after the sender's last word, which carries how
 * many were sent; its SECONDS only bound the wait.
 */
#define _GNU_SOURCE
#include "tool.h"

enum { BATCH = 64, LARGEST = 65000, MAX_FLOWS = 64, FAREWELLS = 30 };

struct word {
  uint64_t sequence;
  uint64_t sent; /* by the whole program; only meaningful with `last` */
  uint32_t flow;
  uint32_t last;
};

static char buffers[BATCH][2048];

static void receive(const char *address, const char *port, uint64_t seconds) {
  int fd = serve(address, port, SOCK_DGRAM), room = 8 << 20;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0)
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  struct mmsghdr messages[BATCH];
  struct iovec parts[BATCH];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < BATCH; i++) {
    parts[i] = (struct iovec){buffers[i], sizeof buffers[i]};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
  }
  uint64_t packets = 0, bytes = 0, first = 0, last = 0, sent = 0, reordered = 0, next[MAX_FLOWS] = {0};
  uint64_t deadline = now_ns() + seconds * 1000000000u;
  int ended = 0;
  while (now_ns() < deadline) {
    /* After the sender's farewell what is still under way has this long to come. */
    struct timeval patience = {ended ? 0 : 1, ended ? 150000 : 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    int n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) die("recvmmsg");
    if (n <= 0 && ended) break;
    uint64_t now = now_ns();
    for (int i = 0; i < n; i++) {
      const struct word *word = (const struct word *)buffers[i];
      if (messages[i].msg_len < sizeof *word || word->flow >= MAX_FLOWS) continue;
      if (word->last) {
        ended = 1, sent = word->sent;
        continue;
      }
      if (packets++ == 0) first = now;
      last = now;
      bytes += messages[i].msg_len;
      if (word->sequence < next[word->flow]) reordered++;
      else next[word->flow] = word->sequence + 1;
    }
  }
  double span = (double)(last - first) / 1e9;
  printf("{\"sent\":%llu,\"received\":%llu,\"bytes\":%llu,\"reordered\":%llu,\"seconds\":%.6f,\"rate\":%.1f,\"complete\":%s}\n",
         (unsigned long long)sent, (unsigned long long)packets, (unsigned long long)bytes,
         (unsigned long long)reordered, span, span > 0 ? (double)packets / span : 0.0, ended ? "true" : "false");
}

static void send_flood(const char *address, const char *port, size_t size, unsigned flows, uint64_t rate,
                       uint64_t seconds) {
  static char payloads[BATCH][LARGEST];
  struct mmsghdr messages[BATCH];
  struct iovec parts[BATCH];
  int fds[MAX_FLOWS];
  uint64_t sequence[MAX_FLOWS] = {0}, sent = 0, refused = 0;
  memset(messages, 0, sizeof messages);
  for (unsigned f = 0; f < flows; f++) fds[f] = reach(address, port, SOCK_DGRAM);
  for (int i = 0; i < BATCH; i++) {
    parts[i] = (struct iovec){payloads[i], size};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
  }
  /*
   * Several flows take turns in short bursts, as independent senders would. A paced sender wakes about a thousand times a
   * second at least, so that no batch is a burst of its own.
   */
  unsigned batch = BATCH / flows > 0 ? BATCH / flows : 1;
  if (rate > 0 && rate / 1000 < batch) batch = rate / 1000 > 0 ? (unsigned)(rate / 1000) : 1;
  uint64_t began = now_ns(), end = began + seconds * 1000000000u, now = began;
  for (unsigned f = 0; now < end; f = (f + 1) % flows, now = now_ns()) {
    for (unsigned i = 0; i < batch; i++) *(struct word *)payloads[i] = (struct word){sequence[f] + i, 0, f, 0};
    int n = sendmmsg(fds[f], messages, batch, 0);
    if (n > 0) sent += (uint64_t)n, sequence[f] += (uint64_t)n;
    else if (errno == ENOBUFS || errno == EAGAIN || errno == ECONNREFUSED) refused++;
    else die("sendmmsg");
    if (rate == 0) continue;
    uint64_t due = began + (uint64_t)((double)sent / (double)rate * 1e9);
    struct timespec at = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
  }
  double span = (double)(now - began) / 1e9;
  struct word farewell = {0, sent, 0, 1};
  memcpy(payloads[0], &farewell, sizeof farewell);
  for (int i = 0; i < FAREWELLS; i++) {
    if (send(fds[0], payloads[0], size, 0) < 0 && errno != ENOBUFS && errno != ECONNREFUSED) die("send");
    usleep(10000);
  }
  printf("{\"sent\":%llu,\"refused\":%llu,\"seconds\":%.6f,\"rate\":%.1f}\n", (unsigned long long)sent,
         (unsigned long long)refused, span, (double)sent / span);
}

int main(int argc, char **argv) {
  if (argc == 5 && strcmp(argv[1], "receive") == 0) {
    uint64_t seconds = number(argv[4], "SECONDS");
    end_after(seconds + 5);
    receive(argv[2], argv[3], seconds);
    return 0;
  }
  if (argc == 8 && strcmp(argv[1], "send") == 0) {
    uint64_t size = number(argv[4], "SIZE"), flows = number(argv[5], "FLOWS"), seconds = number(argv[7], "SECONDS");
    if (size >= sizeof(struct word) && size <= LARGEST && flows >= 1 && flows <= MAX_FLOWS) {
      end_after(seconds + 10);
      send_flood(argv[2], argv[3], size, (unsigned)flows, number(argv[6], "RATE"), seconds);
      return 0;
    }
    fprintf(stderr, "SIZE is %zu..%d bytes, FLOWS 1..%d\n", sizeof(struct word), LARGEST, MAX_FLOWS);
    return 2;
  }
  fputs("usage: packets receive ADDRESS PORT SECONDS | send ADDRESS PORT SIZE FLOWS RATE SECONDS\n", stderr);
  return 2;
}

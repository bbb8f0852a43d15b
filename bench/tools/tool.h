/* What the small measuring programs share: sockets from numeric addresses, the clock, a seeded generator, the way out. */
#ifndef RIPSTOP_GAUGE_H
#define RIPSTOP_GAUGE_H

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static inline void die(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static inline uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* splitmix64: the next of a sequence that its seed decides. */
static inline uint64_t next_random(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

static inline uint64_t number(const char *text, const char *what) {
  char *end;
  errno = 0;
  unsigned long long value = strtoull(text, &end, 10);
  if (errno != 0 || *text == 0 || *end != 0) {
    fprintf(stderr, "%s: \"%s\" is not a whole number\n", what, text);
    exit(2);
  }
  return value;
}

static inline struct addrinfo *resolve(const char *address, const char *port, int type) {
  struct addrinfo hints = {.ai_socktype = type, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
  struct addrinfo *found;
  int error = getaddrinfo(address, port, &hints, &found);
  if (error != 0) {
    fprintf(stderr, "%s port %s: %s\n", address, port, gai_strerror(error));
    exit(2);
  }
  return found;
}

static inline int local_port(int fd) {
  struct sockaddr_storage at;
  socklen_t length = sizeof at;
  if (getsockname(fd, (struct sockaddr *)&at, &length) != 0) die("getsockname");
  return ntohs(at.ss_family == AF_INET ? ((struct sockaddr_in *)&at)->sin_port : ((struct sockaddr_in6 *)&at)->sin6_port);
}

/* A bound socket (TCP: listening); says `listening PORT` so that the caller can continue. */
static inline int serve(const char *address, const char *port, int type) {
  struct addrinfo *at = resolve(address, port, type);
  int fd = socket(at->ai_family, type | SOCK_CLOEXEC, 0), one = 1;
  if (fd < 0) die("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, at->ai_addr, at->ai_addrlen) != 0) die("bind");
  if (type == SOCK_STREAM && listen(fd, 4096) != 0) die("listen");
  freeaddrinfo(at);
  printf("listening %d\n", local_port(fd));
  fflush(stdout);
  return fd;
}

static inline int reach(const char *address, const char *port, int type) {
  struct addrinfo *at = resolve(address, port, type);
  int fd = socket(at->ai_family, type | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  if (connect(fd, at->ai_addr, at->ai_addrlen) != 0) die("connect");
  freeaddrinfo(at);
  return fd;
}

/* Every gauge ends: past `seconds` the alarm signal ends the process. */
static inline void end_after(uint64_t seconds) { alarm((unsigned)seconds); }

#endif

/*
 * Growing buffers, and input and output with deadlines. System calls: poll, read, write, recv, socket, connect.
 */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void append(struct bytes *to, const void *data, size_t length) {
  if (to->failed) return;
  if (length > to->room - to->length) {
    size_t room = to->room ? to->room : 4096;
    while (room - to->length < length) room *= 2;
    char *grown = realloc(to->data, room);
    if (!grown) {
      to->failed = 1;
      return;
    }
    to->data = grown;
    to->room = room;
  }
  if (length > 0) memcpy(to->data + to->length, data, length);
  to->length += length;
}

void append_text(struct bytes *to, const char *text) { append(to, text, strlen(text)); }

/* One field: its length as a little-endian u32, its bytes. */
void append_field(struct bytes *to, const void *data, size_t length) {
  uint8_t header[4] = {(uint8_t)length, (uint8_t)(length >> 8), (uint8_t)(length >> 16), (uint8_t)(length >> 24)};
  append(to, header, sizeof header);
  append(to, data, length);
}

/* Waits for `events`. 0, or -1 with ETIMEDOUT or what poll says. */
static int wait_for(int fd, short events, int64_t deadline) {
  for (;;) {
    int64_t left = deadline - now_ms();
    if (left <= 0) {
      errno = ETIMEDOUT;
      return -1;
    }
    struct pollfd one = {.fd = fd, .events = events};
    int ready = poll(&one, 1, left > 60000 ? 60000 : (int)left);
    if (ready > 0) return 0;
    if (ready < 0 && errno != EINTR) return -1;
  }
}

/* Reads to the end of a file or pipe. -1 with errno, EFBIG behind `most` bytes. */
int read_to_end(int fd, struct bytes *into, size_t most, int64_t deadline) {
  char chunk[16384];
  for (;;) {
    if (wait_for(fd, POLLIN, deadline) < 0) return -1;
    ssize_t count = read(fd, chunk, sizeof chunk);
    if (count == 0) return 0;
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count < 0) return -1;
    append(into, chunk, (size_t)count);
    if (into->failed || into->length > most) {
      errno = into->failed ? ENOMEM : EFBIG;
      return -1;
    }
  }
}

int write_whole(int fd, const void *data, size_t length, int64_t deadline) {
  for (const char *at = data; length > 0;) {
    ssize_t count = write(fd, at, length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) {
      if (wait_for(fd, POLLOUT, deadline) < 0) return -1;
      continue;
    }
    if (count < 0) return -1;
    at += count;
    length -= (size_t)count;
  }
  return 0;
}

/* -1 with errno, ECONNRESET when the other side ended before `length` bytes. */
int receive_whole(int fd, void *into, size_t length, int64_t deadline) {
  for (char *at = into; length > 0;) {
    if (wait_for(fd, POLLIN, deadline) < 0) return -1;
    ssize_t count = recv(fd, at, length, MSG_DONTWAIT);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count < 0) return -1;
    if (count == 0) {
      errno = ECONNRESET;
      return -1;
    }
    at += count;
    length -= (size_t)count;
  }
  return 0;
}

/* A connected socket, or -1 with errno; ETIMEDOUT while the queue of the listener stays full. */
int connect_to(const char *path, int64_t deadline) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (path[0] == '\0' || strlen(path) >= sizeof address.sun_path) {
    errno = ENOENT;
    return -1;
  }
  memcpy(address.sun_path, path, strlen(path) + 1);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  while (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    /* A full queue: poll(2) does not announce its end for this kind of socket (unix(7), EAGAIN). */
    int fault = errno;
    if (fault == EAGAIN && now_ms() >= deadline) fault = ETIMEDOUT;
    if (fault != EAGAIN && fault != EINTR) {
      close(fd);
      errno = fault;
      return -1;
    }
    struct timespec pause = {.tv_nsec = 5000000};
    nanosleep(&pause, NULL);
  }
  return fd;
}

/*
 * The executable that a container runtime starts: /opt/cni/bin/<plugin>.
 *
 * It hands its call (name, CNI_* environment, standard input) to the node agent over a socket and writes the answer,
 * which costs a millisecond; a start of Node costs a hundred times that. Where no agent listens it becomes the
 * plugin's own process: `node launch.cjs <plugin>`, with the same environment and input.
 *
 * Where Node, the launcher and the socket are stands in a trailer behind the program, RIPSTOP_TRAILER bytes that
 * `ripstop cni install` writes: a mark, then texts that end in NUL. Frames on the socket are described in protocol.ts.
 *
 * Syscalls: open(/proc/self/exe), read, socket, connect, write, execve. Capabilities: none.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { RIPSTOP_TRAILER = 4096, INPUT_MAX = 16 << 20 };
static const char kMark[] = "ripstop-cni-plugin";
static const char kMagic[] = "RSCNI1\n";

extern char **environ;

struct bytes {
  char *data;
  size_t length;
  size_t room;
};

static void die(const char *what) {
  /* The error object of the specification; code 5 is an I/O failure. */
  printf("{\n    \"code\": 5,\n    \"msg\": \"%s: %s\"\n}\n", what, strerror(errno));
  exit(1);
}

static void append(struct bytes *to, const void *data, size_t length) {
  if (to->length + length > to->room) {
    size_t room = to->room ? to->room : 4096;
    while (room < to->length + length) room *= 2;
    char *grown = realloc(to->data, room);
    if (!grown) die("realloc");
    to->data = grown;
    to->room = room;
  }
  memcpy(to->data + to->length, data, length);
  to->length += length;
}

/* One field: its length as a little-endian u32, its bytes. */
static void append_field(struct bytes *to, const void *data, size_t length) {
  uint8_t header[4] = {(uint8_t)length, (uint8_t)(length >> 8), (uint8_t)(length >> 16), (uint8_t)(length >> 24)};
  append(to, header, sizeof header);
  append(to, data, length);
}

static void read_all(int fd, struct bytes *into) {
  char chunk[16384];
  for (;;) {
    ssize_t count = read(fd, chunk, sizeof chunk);
    if (count == 0) return;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) die("error reading from stdin");
    append(into, chunk, (size_t)count);
    if (into->length > INPUT_MAX) {
      errno = EFBIG;
      die("error reading from stdin");
    }
  }
}

static int write_all(int fd, const char *data, size_t length) {
  while (length > 0) {
    ssize_t count = fd > 2 ? send(fd, data, length, MSG_NOSIGNAL) : write(fd, data, length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -1;
    data += count;
    length -= (size_t)count;
  }
  return 0;
}

static int read_exactly(int fd, void *into, size_t length) {
  char *at = into;
  while (length > 0) {
    ssize_t count = read(fd, at, length);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return -1;
    at += count;
    length -= (size_t)count;
  }
  return 0;
}

static int connect_agent(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (path[0] == '\0' || strlen(path) >= sizeof address.sun_path) return -1;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

/* Sends the call and writes the answer. -1 before anything was sent that the agent could have acted on. */
static int ask_agent(const char *socket_path, const char *name, const struct bytes *input) {
  int fd = connect_agent(socket_path);
  if (fd < 0) return -1;
  struct bytes body = {0};
  append_field(&body, name, strlen(name));
  append_field(&body, input->data, input->length);
  for (char **one = environ; *one; one++) {
    if (strncmp(*one, "CNI_", 4) == 0 || strncmp(*one, "TRACE", 5) == 0 || strncmp(*one, "BAGGAGE", 7) == 0 ||
        strncmp(*one, "OTEL_", 5) == 0 || strncmp(*one, "PATH=", 5) == 0)
      append_field(&body, *one, strlen(*one));
  }
  struct bytes frame = {0};
  append(&frame, kMagic, sizeof kMagic - 1);
  append_field(&frame, body.data, body.length);
  if (write_all(fd, frame.data, frame.length) < 0) die("agent socket");
  /* Answer: exit status, then standard output and standard error as fields. */
  uint8_t status;
  if (read_exactly(fd, &status, 1) < 0) {
    errno = ECONNRESET;
    die("the agent ended while it worked on the call");
  }
  for (int stream = 1; stream <= 2; stream++) {
    uint8_t header[4];
    if (read_exactly(fd, header, 4) < 0) die("agent socket");
    size_t length = header[0] | (size_t)header[1] << 8 | (size_t)header[2] << 16 | (size_t)header[3] << 24;
    char *text = malloc(length + 1);
    if (!text || read_exactly(fd, text, length) < 0) die("agent socket");
    write_all(stream, text, length);
  }
  return status;
}

/* The texts behind the mark: Node, launcher, socket. */
static char trailer[RIPSTOP_TRAILER + 1];

static int read_trailer(const char *texts[3]) {
  int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (fd < 0 || lseek(fd, -RIPSTOP_TRAILER, SEEK_END) < 0 || read_exactly(fd, trailer, RIPSTOP_TRAILER) < 0) return -1;
  close(fd);
  if (strcmp(trailer, kMark) != 0) return -1;
  const char *at = trailer + sizeof kMark;
  for (int i = 0; i < 3; i++) {
    texts[i] = at;
    at += strlen(at) + 1;
    if (at >= trailer + RIPSTOP_TRAILER) return -1;
  }
  return 0;
}

/* Becomes `node launcher name`, with `input` on standard input again. */
static void become_process(const char *const texts[3], char *const *own, const char *name, const struct bytes *input) {
  if (input) {
    /* An unlinked file in memory: a pipe would need somebody to write it. */
    int fd = memfd_create("cni-config", 0);
    if (fd < 0) die("memfd_create");
    for (size_t at = 0; at < input->length;) {
      ssize_t count = write(fd, input->data + at, input->length - at);
      if (count < 0) die("memfd");
      at += (size_t)count;
    }
    lseek(fd, 0, SEEK_SET);
    dup2(fd, 0);
    close(fd);
  }
  char *arguments[20] = {(char *)texts[0], (char *)texts[1], (char *)name};
  for (int i = 0; i < 16 && own[0] && own[i + 1]; i++) arguments[3 + i] = own[i + 1];
  execv(texts[0], arguments);
  die("node cannot be started");
}

int main(int argc, char **argv) {
  const char *texts[3];
  const char *name = argc > 0 ? strrchr(argv[0], '/') : NULL;
  name = name ? name + 1 : argc > 0 ? argv[0] : "";
  if (read_trailer(texts) < 0) {
    fprintf(stderr, "%s: this program is put in place by `ripstop cni install`\n", name);
    return 1;
  }
  const char *command = getenv("CNI_COMMAND");
  /* Answered without the agent: a start by hand (`dhcp daemon`), and the version, which reads no input. */
  if (!command || argc > 1 || strcmp(command, "VERSION") == 0) become_process(texts, argv, name, NULL);
  struct bytes input = {0};
  read_all(0, &input);
  int status = ask_agent(texts[2], name, &input);
  if (status >= 0) return status;
  become_process(texts, argv, name, &input);
  return 1;
}

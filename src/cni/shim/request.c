/*
 * The call as a frame, and its answer. protocol.ts describes both.
 */
#include "shim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_MAX = 32 << 20 };
static const char kMagic[] = "RSCNI1\n";

extern char **environ;

/*
 * The variables that the agent needs: the parameters, what a trace is continued by, PATH for foreign delegates, and the
 * working directory (shim.c sets it).
 */
static int is_wanted(const char *variable) {
  static const char *const kPrefixes[] = {"CNI_", "TRACE", "BAGGAGE", "OTEL_", "PATH=", "RIPSTOP_CWD="};
  for (size_t i = 0; i < sizeof kPrefixes / sizeof *kPrefixes; i++)
    if (strncmp(variable, kPrefixes[i], strlen(kPrefixes[i])) == 0) return 1;
  return 0;
}

/* The frame of a call; `more` are further variables, ended by NULL. */
void append_request(struct bytes *to, const struct call *call, const char *const *more) {
  struct bytes body = {0};
  append_field(&body, call->plugin, strlen(call->plugin));
  append_field(&body, call->input.data, call->input.length);
  for (char **one = environ; *one; one++)
    if (is_wanted(*one)) append_field(&body, *one, strlen(*one));
  for (; more && *more; more++) append_field(&body, *more, strlen(*more));
  append(to, kMagic, sizeof kMagic - 1);
  append_field(to, body.data, body.length);
  to->failed |= body.failed;
  free(body.data);
}

static enum asked trouble(void) { return errno == ETIMEDOUT ? ASKED_LATE : ASKED_BROKEN; }

static enum asked converse(int fd, const struct call *call, int64_t deadline, int *status, struct bytes out[2]) {
  struct bytes frame = {0};
  append_request(&frame, call, NULL);
  int sent = frame.failed ? -1 : write_whole(fd, frame.data, frame.length, deadline);
  free(frame.data);
  if (sent < 0) return trouble();
  uint8_t code;
  if (receive_whole(fd, &code, 1, deadline) < 0) return trouble();
  for (int stream = 0; stream < 2; stream++) {
    uint8_t header[4];
    if (receive_whole(fd, header, 4, deadline) < 0) return trouble();
    size_t length = header[0] | (size_t)header[1] << 8 | (size_t)header[2] << 16 | (size_t)header[3] << 24;
    if (length > ANSWER_MAX) return ASKED_BROKEN;
    char *text = malloc(length + 1);
    if (!text) return ASKED_BROKEN;
    int received = receive_whole(fd, text, length, deadline);
    if (received == 0) append(&out[stream], text, length);
    free(text);
    if (received < 0) return trouble();
  }
  *status = code;
  return ASKED_ANSWERED;
}

/* Hands the call to the agent. `out` is to be printed only when the answer is complete. */
enum asked ask_agent(const char *path, const struct call *call, int64_t deadline, int *status, struct bytes out[2]) {
  int fd = connect_to(path, deadline);
  if (fd < 0) return errno == ETIMEDOUT ? ASKED_LATE : ASKED_NOBODY;
  enum asked came = converse(fd, call, deadline, status, out);
  close(fd);
  return came;
}

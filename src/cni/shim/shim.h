/*
 * Parts of the executable in /opt/cni/bin, see shim.c.
 */
#ifndef RIPSTOP_CNI_SHIM_H
#define RIPSTOP_CNI_SHIM_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that grow. `failed` is set, and stays set, when memory was missing. */
struct bytes {
  char *data;
  size_t length;
  size_t room;
  int failed;
};

/* The texts behind the mark in the executable; absent ones are "". */
struct settings {
  const char *socket;
  const char *calls; /* directory of recorded calls */
  const char *node;  /* with `launcher`: the plugin runs in a process of its own when no agent answers */
  const char *launcher;
};

/* One invocation. */
struct call {
  const char *plugin;
  const char *command; /* CNI_COMMAND */
  struct bytes input;
  char version[16]; /* cniVersion of the configuration where that is a released one, else the newest */
  char network[256];
};

enum asked {
  ASKED_ANSWERED, /* the answer is complete */
  ASKED_NOBODY,   /* no process listens; nothing was sent */
  ASKED_BROKEN,   /* the agent ended while it worked on the call */
  ASKED_LATE,     /* there was no answer within the limit */
};

/* io.c: waits end at `deadline`, ms of CLOCK_MONOTONIC; write_whole to a blocking descriptor has no limit. */
int64_t now_ms(void);
void append(struct bytes *to, const void *data, size_t length);
void append_text(struct bytes *to, const char *text);
void append_field(struct bytes *to, const void *data, size_t length);
int read_to_end(int fd, struct bytes *into, size_t most, int64_t deadline);
int write_whole(int fd, const void *data, size_t length, int64_t deadline);
int receive_whole(int fd, void *into, size_t length, int64_t deadline);
int connect_to(const char *path, int64_t deadline);

/* request.c */
void append_request(struct bytes *to, const struct call *call, const char *const *more);
enum asked ask_agent(const char *path, const struct call *call, int64_t deadline, int *status, struct bytes out[2]);

/* json.c */
int scan_config(const struct bytes *config, char *version, size_t version_room, char *name, size_t name_room);
void append_json_text(struct bytes *to, const char *text);

/* record.c */
int record_call(const char *directory, const struct call *call, int64_t deadline, char file[512], struct bytes *why);
void forget_record(const char *file);

#endif

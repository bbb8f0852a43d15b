/*
 * The executable that a container runtime starts: /opt/cni/bin/<plugin>. It is static: it needs no loader, no library and
 * no Node on the host.
 *
 * It hands its call (name, CNI_* environment, standard input) to the node agent over a socket and prints the answer. What
 * it does itself:
 *   VERSION         is answered, with or without an agent;
 *   STATUS          without an answer: code 50 (plugin not available);
 *   ADD, CHECK      without an agent: code 11 (try again later);
 *   DEL, GC         without an agent: the call is recorded on disk, and the answer is success; the agent completes it
 *                   before it serves the first ADD (recorded.ts). Deleting is implemented once, in TypeScript.
 * Every wait has a limit (`limit_ms`), except that output to a blocking descriptor waits until its reader takes it.
 *
 * `ripstop cni install` writes the settings into the file itself, behind the mark. An executable of a node without an
 * agent (`--standalone`) has a Node and a launcher in its settings, and becomes `node launcher <plugin>`.
 */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* OUTPUT_MS: longest wait until the runtime reads the answer, where standard output is non-blocking. */
enum { SETTINGS_SIZE = 4096, INPUT_MAX = 16 << 20, OUTPUT_MS = 10000 };
enum { TRY_AGAIN_LATER = 11, NOT_AVAILABLE = 50, BAD_ENVIRONMENT = 4, IO_FAILURE = 5, BAD_JSON = 6, BAD_CONFIG = 7 };

#define NEWEST "1.1.0"
static const char *const kVersions[] = {"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", NEWEST};
enum { VERSIONS = sizeof kVersions / sizeof *kVersions };

/* The mark, then texts that end in NUL: socket, directory of calls, Node, launcher. Written by install.ts. */
__attribute__((used, aligned(4096))) static volatile char block[SETTINGS_SIZE] = "ripstop-cni-settings";

static char texts[SETTINGS_SIZE + 1];

static struct settings read_settings(void) {
  for (size_t i = 0; i < SETTINGS_SIZE; i++) texts[i] = block[i];
  const char *field[5] = {"", "", "", "", ""};
  const char *at = texts;
  for (int i = 0; i < 5 && at < texts + SETTINGS_SIZE; i++) {
    field[i] = at;
    at += strlen(at) + 1;
  }
  return (struct settings){.socket = field[1], .calls = field[2], .node = field[3], .launcher = field[4]};
}

/* Longest time a call may take, ms. DHCP servers are asked for up to 208 s, so ADD has more than that. */
static int64_t limit_ms(const char *command) {
  const char *own = getenv("RIPSTOP_CNI_TIMEOUT");
  if (own && atoll(own) > 0 && atoll(own) <= 86400) return atoll(own) * 1000;
  if (strcmp(command, "ADD") == 0 || strcmp(command, "GC") == 0) return 240000;
  if (strcmp(command, "STATUS") == 0) return 30000;
  return 120000;
}

static int print(const struct bytes *text) {
  if (text->failed || write_whole(1, text->data, text->length, now_ms() + OUTPUT_MS) < 0) return 1;
  return 0;
}

/* The error object of the specification on standard output. Returns the exit status. */
static int answer_error(const struct call *call, int code, const char *msg, const char *details) {
  struct bytes text = {0};
  char number[32];
  append_text(&text, "{\n    \"cniVersion\": ");
  append_json_text(&text, call->version[0] ? call->version : NEWEST);
  snprintf(number, sizeof number, ",\n    \"code\": %d", code);
  append_text(&text, number);
  append_text(&text, ",\n    \"msg\": ");
  append_json_text(&text, msg);
  if (details) {
    append_text(&text, ",\n    \"details\": ");
    append_json_text(&text, details);
  }
  append_text(&text, "\n}\n");
  print(&text);
  return 1;
}

static int answer_version(void) {
  struct bytes text = {0};
  append_text(&text, "{\n    \"cniVersion\": \"" NEWEST "\",\n    \"supportedVersions\": [\n");
  for (int i = 0; i < VERSIONS; i++) {
    append_text(&text, i ? ",\n        " : "        ");
    append_json_text(&text, kVersions[i]);
  }
  append_text(&text, "\n    ]\n}\n");
  return print(&text);
}

/* Prints what this is when it is started without a runtime. */
static int introduce(const char *plugin, int has_arguments) {
  fprintf(stderr, "CNI plugin %s of Ripstop: hands the calls of a container runtime to the node agent\n", plugin);
  fprintf(stderr, "CNI protocol versions supported:");
  for (int i = 0; i < VERSIONS; i++) fprintf(stderr, "%s %s", i ? "," : "", kVersions[i]);
  fprintf(stderr, "\n");
  if (!has_arguments) return 0;
  fprintf(stderr, "The plugin accepts no arguments. To run the DHCP daemon, use `ripstop cni dhcp-daemon`.\n");
  return 1;
}

/* Becomes `node launcher <plugin>`, with `input` on standard input again. Returns only when that fails. */
static int become_process(const struct settings *to, char **own, const struct call *call, int has_input) {
  if (has_input) {
    /* An unlinked file in memory, because a pipe would need a second process that writes it. */
    int fd = memfd_create("cni-config", 0);
    if (fd < 0 || write_whole(fd, call->input.data, call->input.length, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
        dup2(fd, 0) < 0)
      return answer_error(call, IO_FAILURE, "the configuration cannot be passed to Node", strerror(errno));
    close(fd);
  }
  /* Node reads these certificates at each start, which takes longer than most calls, and only a collector of traces is asked
     over TLS. */
  if (!getenv("OTEL_EXPORTER_OTLP_ENDPOINT") && !getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
    unsetenv("NODE_EXTRA_CA_CERTS");
  char *arguments[20] = {(char *)to->node, (char *)to->launcher, (char *)call->plugin};
  for (int i = 0; i < 16 && own[0] && own[i + 1]; i++) arguments[3 + i] = own[i + 1];
  execv(to->node, arguments);
  char msg[512];
  snprintf(msg, sizeof msg, "%.400s cannot be started: %s", to->node, strerror(errno));
  return answer_error(call, IO_FAILURE, msg, "this executable was installed with --standalone, which needs Node here");
}

static int is_identifier(const char *text) {
  static const char kFirst[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  if (text[0] == '\0' || !strchr(kFirst, text[0])) return 0;
  return text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")] == '\0';
}

/* What could not be completed later either is refused now. 0, or the exit status of an error. */
static int refuse_unusable(const struct call *call, int is_object) {
  const char *id = getenv("CNI_CONTAINERID"), *ifname = getenv("CNI_IFNAME"), *path = getenv("CNI_PATH");
  int is_del = strcmp(call->command, "DEL") == 0;
  if (!path || !*path || (is_del && (!id || !*id || !ifname || !*ifname)))
    return answer_error(call, BAD_ENVIRONMENT,
                        is_del ? "required env variables missing: DEL needs CNI_CONTAINERID, CNI_IFNAME and CNI_PATH"
                               : "required env variables missing: GC needs CNI_PATH",
                        NULL);
  if (is_del && !is_identifier(id))
    return answer_error(call, BAD_ENVIRONMENT, "invalid characters in containerID", id);
  if (!is_object)
    return answer_error(call, BAD_JSON, "error unmarshall network config: it is not a JSON object", NULL);
  if (!is_identifier(call->network))
    return answer_error(call, BAD_CONFIG, "missing or invalid network name", "a name begins with a letter or digit; letters, digits, _, . and - may follow");
  return 0;
}

/* DEL and GC without an agent. */
static int record(const struct settings *settings, const struct call *call, int64_t deadline) {
  char file[512];
  struct bytes why = {0}, out[2] = {{0}, {0}};
  int status = 0;
  if (record_call(settings->calls, call, deadline, file, &why) < 0) {
    append(&why, "", 1);
    return answer_error(call, TRY_AGAIN_LATER,
                        "the Ripstop agent of this node does not answer, and the call cannot be recorded for it",
                        why.failed ? NULL : why.data);
  }
  /* An agent that began to listen before the record was there may have looked for records already. */
  if (ask_agent(settings->socket, call, deadline, &status, out) != ASKED_ANSWERED) return 0;
  if (status == 0) forget_record(file);
  write_whole(2, out[1].data, out[1].length, now_ms() + OUTPUT_MS);
  return print(&out[0]) ? 1 : status;
}

static int without_agent(const struct settings *settings, const struct call *call, enum asked came, int is_object,
                         int64_t deadline) {
  static const char kAway[] = "the Ripstop agent of this node does not answer";
  static const char kStart[] = "start it (ripstop agent); existing pods are not affected";
  if (came == ASKED_LATE)
    return answer_error(call, strcmp(call->command, "STATUS") == 0 ? NOT_AVAILABLE : TRY_AGAIN_LATER,
                        "the Ripstop agent of this node did not answer within the time limit",
                        "the call may still be completed; RIPSTOP_CNI_TIMEOUT (seconds) changes the limit");
  if (strcmp(call->command, "STATUS") == 0) return answer_error(call, NOT_AVAILABLE, kAway, kStart);
  if (strcmp(call->command, "ADD") == 0 || strcmp(call->command, "CHECK") == 0)
    return answer_error(call, TRY_AGAIN_LATER, came == ASKED_BROKEN ? "the Ripstop agent ended during the call" : kAway,
                        kStart);
  if (strcmp(call->command, "DEL") == 0 || strcmp(call->command, "GC") == 0) {
    int refused = refuse_unusable(call, is_object);
    return refused ? refused : record(settings, call, deadline);
  }
  char msg[128];
  snprintf(msg, sizeof msg, "unknown CNI_COMMAND: %.80s", call->command);
  return answer_error(call, BAD_ENVIRONMENT, msg, "known commands: ADD, DEL, CHECK, GC, STATUS, VERSION");
}

/*
 * Relative paths of the configuration and of CNI_PATH start at the working directory, as with the reference plugins. The
 * agent and the process of a standalone installation read it from this variable. A deleted directory has no path: the
 * variable is absent then, and they take "/".
 */
static void pass_working_directory(void) {
  static const char kName[] = "RIPSTOP_CWD";
  char path[PATH_MAX];
  if (!getcwd(path, sizeof path) || setenv(kName, path, 1) < 0) unsetenv(kName);
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  pass_working_directory();
  struct settings settings = read_settings();
  struct call call = {.plugin = argc > 0 ? argv[0] : "", .command = getenv("CNI_COMMAND")};
  const char *slash = strrchr(call.plugin, '/');
  if (slash) call.plugin = slash + 1;
  if (settings.socket[0] == '\0') {
    fprintf(stderr, "%s: this program is put in place by `ripstop cni install`\n", call.plugin);
    return 1;
  }
  int is_standalone = settings.node[0] != '\0';
  if (argc > 1 || !call.command || call.command[0] == '\0') {
    if (is_standalone) return become_process(&settings, argv, &call, 0);
    return introduce(call.plugin, argc > 1);
  }
  if (strcmp(call.command, "VERSION") == 0) return answer_version();
  int64_t deadline = now_ms() + limit_ms(call.command);
  if (read_to_end(0, &call.input, INPUT_MAX, deadline) < 0) {
    int is_late = errno == ETIMEDOUT;
    return answer_error(&call, is_late ? TRY_AGAIN_LATER : IO_FAILURE, "error reading from stdin", strerror(errno));
  }
  int is_object = scan_config(&call.input, call.version, sizeof call.version, call.network, sizeof call.network) == 0;
  int is_released = 0;
  for (int i = 0; i < VERSIONS; i++) is_released |= strcmp(call.version, kVersions[i]) == 0;
  if (!is_released) strcpy(call.version, NEWEST);
  struct bytes out[2] = {{0}, {0}};
  int status = 0;
  enum asked came = ask_agent(settings.socket, &call, deadline, &status, out);
  if (came == ASKED_ANSWERED) {
    write_whole(2, out[1].data, out[1].length, now_ms() + OUTPUT_MS);
    return print(&out[0]) ? 1 : status;
  }
  /* Nothing completes a record on such a node, and deleting twice is harmless. */
  int is_deletion = strcmp(call.command, "DEL") == 0 || strcmp(call.command, "GC") == 0;
  if (is_standalone && (came == ASKED_NOBODY || (came == ASKED_BROKEN && is_deletion)))
    return become_process(&settings, argv, &call, 1);
  return without_agent(&settings, &call, came, is_object, deadline);
}

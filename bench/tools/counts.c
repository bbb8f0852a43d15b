/*
 * Counts what processes and the machine do until standard input ends; prints one JSON line.
 *   counts PID...
 *     ready           printed on a line of its own when counting has begun
 *     calls           system calls of the processes
 *     empty           those that ended in EAGAIN
 *     waits, yields   those that were poll, ppoll or epoll_wait, and sched_yield
 *     switches        context switches of the processes
 *     interrupts      that cores sent each other, the whole machine: wake-ups across cores, mostly
 *     copied          bytes that read(2) and write(2) of the processes copied
 * Needs CAP_PERFMON and tracefs, which is mounted in a namespace of this process if it is not there.
 * Sources: perf_event_open(2), Documentation/trace/events.rst (filters).
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CALLS, EMPTY, WAITS, YIELDS, SWITCHES, KINDS, THREADS_MAX = 512 };
#define TRACING "/sys/kernel/tracing"

static int counters[THREADS_MAX][KINDS], threads;

static void fail(const char *what) {
  fprintf(stderr, "counts: %s: %s\n", what, strerror(errno));
  exit(1);
}

static unsigned long long tracepoint(const char *name) {
  char path[128];
  unsigned long long id;
  snprintf(path, sizeof path, TRACING "/events/raw_syscalls/%s/id", name);
  FILE *file = fopen(path, "r");
  if (!file) fail(path);
  if (fscanf(file, "%llu", &id) != 1) fail(path);
  fclose(file);
  return id;
}

static int counter(int thread, uint32_t type, uint64_t config, const char *filter) {
  struct perf_event_attr attributes = {.size = sizeof attributes, .type = type, .config = config};
  int fd = (int)syscall(SYS_perf_event_open, &attributes, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
  if (fd < 0) fail("perf_event_open");
  if (filter && ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter) < 0) fail(filter);
  return fd;
}

static void watch(const char *pid) {
  char path[64], filter[128];
  snprintf(path, sizeof path, "/proc/%s/task", pid);
  DIR *folder = opendir(path);
  if (!folder) fail(path);
  for (struct dirent *entry; (entry = readdir(folder));) {
    int thread = atoi(entry->d_name);
    if (thread <= 0) continue;
    if (threads == THREADS_MAX) errno = E2BIG, fail("threads");
    int *of = counters[threads++];
    unsigned long long enter = tracepoint("sys_enter");
    of[CALLS] = counter(thread, PERF_TYPE_TRACEPOINT, enter, NULL);
    of[EMPTY] = counter(thread, PERF_TYPE_TRACEPOINT, tracepoint("sys_exit"), "ret == -11");
#ifdef SYS_poll
    snprintf(filter, sizeof filter, "id == %d || id == %d || id == %d", SYS_poll, SYS_ppoll, SYS_epoll_pwait);
#else
    snprintf(filter, sizeof filter, "id == %d || id == %d", SYS_ppoll, SYS_epoll_pwait);
#endif
    of[WAITS] = counter(thread, PERF_TYPE_TRACEPOINT, enter, filter);
    snprintf(filter, sizeof filter, "id == %d", SYS_sched_yield);
    of[YIELDS] = counter(thread, PERF_TYPE_TRACEPOINT, enter, filter);
    of[SWITCHES] = counter(thread, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES, NULL);
  }
  closedir(folder);
}

static unsigned long long interrupts(void) {
  char line[65536];
  unsigned long long sum = 0;
  FILE *file = fopen("/proc/interrupts", "r");
  if (!file) fail("/proc/interrupts");
  while (fgets(line, sizeof line, file)) {
    if (!strstr(line, "Rescheduling interrupts") && !strstr(line, "unction call interrupts")) continue;
    char *at = strchr(line, ':');
    for (char *end; at && (at++, 1); at = end - 1) {
      unsigned long long value = strtoull(at, &end, 10);
      if (end == at) break;
      sum += value;
    }
  }
  fclose(file);
  return sum;
}

static unsigned long long copied(int pids, char **pid) {
  char path[64], line[128];
  unsigned long long sum = 0, value;
  for (int i = 0; i < pids; i++) {
    snprintf(path, sizeof path, "/proc/%s/io", pid[i]);
    FILE *file = fopen(path, "r");
    if (!file) fail(path);
    while (fgets(line, sizeof line, file))
      if (sscanf(line, "rchar: %llu", &value) == 1 || sscanf(line, "wchar: %llu", &value) == 1) sum += value;
    fclose(file);
  }
  return sum;
}

int main(int count, char **argument) {
  char rest[256];
  unsigned long long sums[KINDS] = {0}, value;
  if (access(TRACING "/events", F_OK) < 0) {
    if (unshare(CLONE_NEWNS) < 0) fail("unshare");
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) fail("mount /");
    if (mount("tracefs", TRACING, "tracefs", 0, NULL) < 0) fail("mount " TRACING);
  }
  for (int i = 1; i < count; i++) watch(argument[i]);
  for (int i = 0; i < threads; i++)
    for (int kind = 0; kind < KINDS; kind++) ioctl(counters[i][kind], PERF_EVENT_IOC_RESET, 0);
  unsigned long long sent = interrupts(), bytes = copied(count - 1, argument + 1);
  printf("ready\n");
  fflush(stdout);
  while (read(0, rest, sizeof rest) > 0) {}
  sent = interrupts() - sent;
  bytes = copied(count - 1, argument + 1) - bytes;
  for (int i = 0; i < threads; i++)
    for (int kind = 0; kind < KINDS; kind++) {
      if (read(counters[i][kind], &value, sizeof value) != sizeof value) fail("read");
      sums[kind] += value;
    }
  printf("{\"calls\":%llu,\"empty\":%llu,\"waits\":%llu,\"yields\":%llu,\"switches\":%llu,\"interrupts\":%llu,\"copied\":%llu}\n",
         sums[CALLS], sums[EMPTY], sums[WAITS], sums[YIELDS], sums[SWITCHES], sent, bytes);
  return 0;
}

/*
 * What the machine charges for that which a tunnel in user space does most: prints one JSON line, medians, nanoseconds.
 *   machine
 *     system_call   getppid(2), which does nothing
 *     wake_near     a thread wakes another one on its core (eventfd), from write to the return of read
 *     wake_far      the same across cores; null with one core
 *     copy          64 KiB from one place of a buffer larger than the caches to another
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 15, CALLS = 50000, WAKES = 2000, COPIES = 256, PIECE = 64 << 10, BUFFER = 256 << 20 };

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1e9 + at.tv_nsec;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values) {
  qsort(values, BATCHES, sizeof *values, ascending);
  return values[BATCHES / 2];
}

static void pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  if (sched_setaffinity(0, sizeof set, &set) < 0) perror("sched_setaffinity"), exit(1);
}

static double system_call(void) {
  double each[BATCHES];
  for (int b = 0; b < BATCHES; b++) {
    double start = now();
    for (int i = 0; i < CALLS; i++) syscall(SYS_getppid);
    each[b] = (now() - start) / CALLS;
  }
  return median(each);
}

struct pair {
  int there, back, core;
};

static void *echo(void *argument) {
  struct pair *pair = argument;
  uint64_t count;
  pin(pair->core);
  for (int i = 0; i < BATCHES * WAKES; i++) {
    if (read(pair->there, &count, sizeof count) != sizeof count) exit(1);
    count = 1;
    if (write(pair->back, &count, sizeof count) != sizeof count) exit(1);
  }
  return NULL;
}

/* Half of a round trip between a thread on `own` and one on `other`. */
static double wake(int own, int other) {
  struct pair pair = {eventfd(0, 0), eventfd(0, 0), other};
  pthread_t thread;
  double each[BATCHES];
  uint64_t count;
  pin(own);
  if (pthread_create(&thread, NULL, echo, &pair) != 0) exit(1);
  for (int b = 0; b < BATCHES; b++) {
    double start = now();
    for (int i = 0; i < WAKES; i++) {
      count = 1;
      if (write(pair.there, &count, sizeof count) != sizeof count) exit(1);
      if (read(pair.back, &count, sizeof count) != sizeof count) exit(1);
    }
    each[b] = (now() - start) / WAKES / 2;
  }
  pthread_join(thread, NULL);
  close(pair.there);
  close(pair.back);
  return median(each);
}

static double copy(void) {
  double each[BATCHES];
  char *buffer = malloc(BUFFER);
  if (!buffer) exit(1);
  memset(buffer, 1, BUFFER);
  for (int b = 0; b < BATCHES; b++) {
    double start = now();
    for (size_t i = 0; i < COPIES; i++) {
      size_t from = (i * 2 + b) * (size_t)PIECE * 3 % (BUFFER / 2);
      memcpy(buffer + BUFFER / 2 + from % (BUFFER / 2 - PIECE), buffer + from % (BUFFER / 2 - PIECE), PIECE);
      __asm__ volatile("" : : "r"(buffer) : "memory");
    }
    each[b] = (now() - start) / COPIES;
  }
  free(buffer);
  return median(each);
}

int main(void) {
  cpu_set_t allowed;
  int cores[2], found = 0;
  if (sched_getaffinity(0, sizeof allowed, &allowed) < 0) return 1;
  for (int core = 0; core < CPU_SETSIZE && found < 2; core++)
    if (CPU_ISSET(core, &allowed)) cores[found++] = core;
  if (found == 0) return 1;
  double call = system_call(), near = wake(cores[0], cores[0]), bytes = copy();
  char far[32] = "null";
  if (found == 2) snprintf(far, sizeof far, "%.1f", wake(cores[0], cores[1]));
  printf("{\"system_call\":%.1f,\"wake_near\":%.1f,\"wake_far\":%s,\"copy\":%.1f}\n", call, near, far, bytes);
  return 0;
}

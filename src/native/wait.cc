// The wait of a worker: busy polling while that pays, then poll(2) for its descriptors and for the eventfd by which the
// control thread interrupts it.
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "call.h"
#include "constants.h"
#include "environment.h"

namespace ripstop {
namespace {

// How long a thread polls at first.
constexpr int64_t kFirst = 10000;

int64_t MonotonicNs() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

}  // namespace

bool Polling::Again(bool is_first, int64_t limit_ns) {
  if (limit_ns == 0) return false;
  const int64_t now = MonotonicNs();
  if (is_first) start_ns = now;
  if (now - start_ns >= learned_ns) return false;
  sched_yield();
  return true;
}

// busyPoll(isFirst, limitUs) -> 1: read again; 0: sleep
// Polling::Again for a thread that reads two descriptors; one that reads a single one polls within the read.
// Syscall: sched_yield.
napi_value BusyPoll(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const bool is_first = call.Uint(0, 1) == 1;
  const int64_t limit_ns = call.Int(1, 0, kBusyPollMaxUs) * 1000LL;
  if (!call.ok()) return nullptr;
  return call.Number(Environment::Of(env).polling.Again(is_first, limit_ns));
}

// waitReadable(first, second, control, limitUs, timeoutMs) -> Ready bits, 0 timeout or interrupted, -errno
// Waits for one or two descriptors; -1 for none. A descriptor in error is readable: the next read returns the error.
// `limitUs` is that of busyPoll, which learns from how long the wait took. Syscall: poll.
napi_value WaitReadable(napi_env env, napi_callback_info info) {
  Call call(env, info);
  // poll(2) ignores negative descriptors.
  pollfd waited[3] = {
      {call.OptionalFd(0), POLLIN, 0}, {call.OptionalFd(1), POLLIN, 0}, {call.OptionalFd(2), POLLIN, 0}};
  const int64_t limit_ns = call.Int(3, 0, kBusyPollMaxUs) * 1000LL;
  const int timeout_ms = call.Timeout(4);
  if (!call.ok()) return nullptr;
  const int ready = poll(waited, 3, timeout_ms);
  const int error = errno;
  if (limit_ns > 0) {
    // Would polling have paid? Then poll longer next time, else not at all.
    Polling& polling = Environment::Of(env).polling;
    const bool paid = MonotonicNs() - polling.start_ns <= limit_ns;
    polling.learned_ns = paid ? std::min(std::max(polling.learned_ns * 2, kFirst), limit_ns) : 0;
  }
  if (ready < 0) return call.Number(error == EINTR ? 0 : -error);
  return call.Number((waited[0].revents != 0 ? kReadyFirst : 0) | (waited[1].revents != 0 ? kReadySecond : 0));
}

// eventOpen() -> fd. Syscall: eventfd.
napi_value EventOpen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  return call.NumberOrThrow(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
}

// eventSignal(fd) -> 0 or -errno. Syscall: write.
napi_value EventSignal(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Fd(0);
  if (!call.ok()) return nullptr;
  const uint64_t one = 1;
  return call.Number(write(fd, &one, sizeof one) < 0 ? -errno : 0);
}

// eventClear(fd) -> 1 when it was signalled, else 0. Syscall: read.
napi_value EventClear(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Fd(0);
  if (!call.ok()) return nullptr;
  uint64_t value = 0;
  return call.Number(read(fd, &value, sizeof value) == sizeof value ? 1 : 0);
}

}  // namespace ripstop

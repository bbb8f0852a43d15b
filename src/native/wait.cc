#include "wait.h"

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "call.h"

namespace ripstop {
namespace {

// What a thread begins to look for.
constexpr int64_t kFirst = 10000;

// How long this thread looks, nanoseconds.
thread_local int64_t learned = 0;

int64_t Now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

}  // namespace

bool AdaptivePoller::ShouldSpin() {
  if (limit_ <= 0) return false;
  const int64_t now = Now();
  if (start_ == 0) start_ = now;
  if (now - start_ >= learned) return false;
  sched_yield();
  return true;
}

int AdaptivePoller::Wait(int fd, int control, int timeout_ms) {
  const int result = WaitReadable(fd, control, timeout_ms);
  if (limit_ <= 0) return result;
  // Would looking have paid? Then look longer next time, else not at all.
  if (Now() - start_ > limit_) learned = 0;
  else learned = learned == 0 ? kFirst : learned * 2 < limit_ ? learned * 2 : limit_;
  return result;
}

int WaitReadable(int fd, int control, int timeout_ms) {
  pollfd waited[2] = {{fd, POLLIN, 0}, {control, POLLIN, 0}};
  const int ready = poll(waited, control < 0 ? 1 : 2, timeout_ms);
  if (ready < 0) return errno == EINTR ? 0 : -errno;
  return waited[0].revents != 0 ? 1 : 0;
}

// waitReadable(fd, control, timeoutMs) -> 1 readable, 0 timeout or interrupted, -errno. Syscall: poll.
napi_value WaitReadableCall(napi_env env, napi_callback_info info) {
  Call call(env, info);
  return call.Number(WaitReadable(call.Int(0), call.Int(1), call.Int(2)));
}

// eventOpen() -> fd. Syscall: eventfd.
napi_value EventOpen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  return call.NumberOrThrow(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
}

// eventSignal(fd) -> 0 or -errno. Syscall: write.
napi_value EventSignal(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const uint64_t one = 1;
  return call.Number(write(call.Int(0), &one, sizeof one) < 0 ? -errno : 0);
}

// eventClear(fd) -> 1 when it was signalled, else 0. Syscall: read.
napi_value EventClear(napi_env env, napi_callback_info info) {
  Call call(env, info);
  uint64_t value = 0;
  return call.Number(read(call.Int(0), &value, sizeof value) == sizeof value ? 1 : 0);
}

}  // namespace ripstop

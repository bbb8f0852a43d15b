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

// How long a thread spins at first.
constexpr int64_t kFirst = 10000;

// What this thread has waited, in nanoseconds, while the timer was on.
struct WaitTimer {
  bool is_on = false;
  int64_t nanoseconds = 0;
};
thread_local WaitTimer wait_timer;

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
  if (now - start_ >= *learned_) return false;
  sched_yield();
  return true;
}

int AdaptivePoller::Wait(int fd, int control, int timeout_ms) {
  const int result = WaitReadable(fd, control, timeout_ms);
  if (limit_ <= 0) return result;
  // Would spinning have paid? Then spin longer next time, else not at all.
  if (Now() - start_ > limit_) *learned_ = 0;
  else *learned_ = *learned_ == 0 ? kFirst : *learned_ * 2 < limit_ ? *learned_ * 2 : limit_;
  return result;
}

int WaitReadable(int fd, int control, int timeout_ms) {
  pollfd waited[2] = {{fd, POLLIN, 0}, {control, POLLIN, 0}};
  const int64_t start = wait_timer.is_on ? Now() : 0;
  const int ready = poll(waited, control < 0 ? 1 : 2, timeout_ms);
  if (wait_timer.is_on) wait_timer.nanoseconds += Now() - start;
  if (ready < 0) return errno == EINTR ? 0 : -errno;
  return waited[0].revents != 0 ? 1 : 0;
}

// waitReadable(fd, control, timeoutMs) -> 1 readable, 0 timeout or interrupted, -errno. Syscall: poll.
napi_value WaitReadableCall(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Fd(0);
  const int control = call.OptionalFd(1);
  const int timeout_ms = call.Timeout(2);
  if (!call.ok()) return nullptr;
  return call.Number(WaitReadable(fd, control, timeout_ms));
}

// waitTime(isOn) -> nanoseconds that this thread has waited since the last call, at most INT32_MAX; 0 while it was off
// Switches on and off that the waits of this thread are timed. An int32, so that JavaScript allocates no number.
napi_value WaitTime(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const bool is_on = call.Int(0, 0, 1) == 1;
  if (!call.ok()) return nullptr;
  const int64_t waited = wait_timer.nanoseconds;
  wait_timer = {is_on, 0};
  return call.Number(static_cast<double>(waited < INT32_MAX ? waited : INT32_MAX));
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

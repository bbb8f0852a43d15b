// How the kernel schedules a thread, and the clocks that Node has no call for.
#include <sched.h>
#include <sys/timex.h>
#include <time.h>

#include "call.h"

namespace ripstop {

// threadPolicy(thread, policy) -> 0 or -errno
// Sets the scheduling policy of a thread of this process (0: the calling one), sched(7); its nice value stays.
// Syscall: sched_setscheduler.
napi_value ThreadPolicy(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int thread = call.Int(0, 0, INT32_MAX);
  const int policy = call.Int(1, SCHED_OTHER, SCHED_IDLE);
  if (!call.ok()) return nullptr;
  const sched_param parameter{};
  return call.NumberOrErrno(sched_setscheduler(thread, policy, &parameter));
}

// wallClock() -> milliseconds since 1970-01-01 UTC, with fractions
// Syscall: clock_gettime CLOCK_REALTIME, in the vDSO.
napi_value WallClock(napi_env env, napi_callback_info info) {
  Call call(env, info);
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return call.Number(static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6);
}

// clockError() -> microseconds, -1 when the clock is not synchronised or the kernel does not tell
// The largest error of the wall clock, as the time daemon told the kernel. Syscall: adjtimex, read only.
napi_value ClockError(napi_env env, napi_callback_info info) {
  Call call(env, info);
  timex state{};
  const int clock = adjtimex(&state);
  if (clock < 0) return call.Number(-1);
  if (clock == TIME_ERROR || (state.status & STA_UNSYNC)) return call.Number(-1);
  return call.Number(static_cast<double>(state.maxerror));
}

}  // namespace ripstop

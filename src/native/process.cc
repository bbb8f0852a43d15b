// How the kernel schedules a thread.
#include <sched.h>

#include <cerrno>

#include "call.h"

namespace ripstop {

// threadPolicy(thread, policy) -> 0 or -errno
// Sets the scheduling policy of a thread of this process (0: the calling one), sched(7); its nice value stays.
// Syscall: sched_setscheduler.
napi_value ThreadPolicy(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const sched_param parameter{};
  return call.Number(sched_setscheduler(call.Int(0), call.Int(1), &parameter) < 0 ? -errno : 0);
}

}  // namespace ripstop

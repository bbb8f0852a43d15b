// How the kernel schedules a thread.
#include <sched.h>

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

}  // namespace ripstop

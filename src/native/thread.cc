// How the kernel schedules a worker thread.
#include <sched.h>

#include <cerrno>

#include "call.h"

namespace ripstop {

// threadBatch() -> 0 or -errno
// Makes the calling thread one that does not interrupt others when it wakes up (SCHED_BATCH, sched(7)); its nice value
// stays. Syscall: sched_setscheduler.
napi_value ThreadBatch(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const sched_param parameter{};
  return call.Number(sched_setscheduler(0, SCHED_BATCH, &parameter) < 0 ? -errno : 0);
}

}  // namespace ripstop

// Advisory locks on files, which Node does not offer. Cold: address files shared with other programs.
#include <sys/file.h>

#include <cerrno>

#include "call.h"

namespace ripstop {

// fileLock(fd, operation) -> 0 or -errno. flock(2): LOCK_SH 1, LOCK_EX 2, LOCK_NB 4, LOCK_UN 8; -EWOULDBLOCK with LOCK_NB
// when another description holds it. The lock goes with the descriptor. Syscalls: flock.
napi_value FileLock(napi_env env, napi_callback_info info) {
  Call call(env, info);
  return call.Number(flock(call.Int(0), call.Int(1)) < 0 ? -errno : 0);
}

}  // namespace ripstop

// Descriptors and files, for which Node has no call. Cold: the control plane only.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "call.h"
#include "namespace-scope.h"

namespace ripstop {

// fileOpen(netns, path, flags) -> fd. /proc/sys/net and /sys/class/net show the namespace of the task that opens
// them, so the open happens inside and the descriptor is used from anywhere. Syscalls: setns, open.
napi_value FileOpen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  char netns[PATH_MAX], path[PATH_MAX];
  call.Text(0, netns);
  call.Text(1, path);
  const int flags = call.Int(2, 0, INT32_MAX);
  if (!call.ok()) return nullptr;
  NamespaceScope scope(netns);
  if (scope.error()) return call.Throw(scope.error(), scope.syscall());
  return call.NumberOrThrow(open(path, flags | O_CLOEXEC, 0600), "open");
}

// fileLock(fd, operation) -> 0 or -errno. flock(2): LOCK_SH 1, LOCK_EX 2, LOCK_NB 4, LOCK_UN 8; -EWOULDBLOCK with
// LOCK_NB when another description holds it. The lock ends with the descriptor. Syscalls: flock.
napi_value FileLock(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Fd(0);
  const int operation = call.Int(1, LOCK_SH, LOCK_UN | LOCK_NB);
  if (!call.ok()) return nullptr;
  return call.NumberOrErrno(flock(fd, operation));
}

// closeFd(fd) -> 0 or -errno. Syscall: close.
napi_value CloseFd(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Fd(0);
  if (!call.ok()) return nullptr;
  return call.NumberOrErrno(close(fd));
}

}  // namespace ripstop

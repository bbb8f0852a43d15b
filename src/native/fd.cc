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
  if (!call.Text(0, netns, sizeof netns) || !call.Text(1, path, sizeof path)) return nullptr;
  NamespaceScope scope(netns);
  if (scope.error()) return call.Throw(scope.error(), scope.syscall());
  int fd = open(path, call.Int(2) | O_CLOEXEC, 0600);
  if (fd < 0) return call.Throw(errno, "open");
  return call.Number(fd);
}

// fileLock(fd, operation) -> 0 or -errno. flock(2): LOCK_SH 1, LOCK_EX 2, LOCK_NB 4, LOCK_UN 8; -EWOULDBLOCK with LOCK_NB
// when another description holds it. The lock ends with the descriptor. Syscalls: flock.
napi_value FileLock(napi_env env, napi_callback_info info) {
  Call call(env, info);
  return call.Number(flock(call.Int(0), call.Int(1)) < 0 ? -errno : 0);
}

// closeFd(fd) -> 0 or -errno. Syscall: close.
napi_value CloseFd(napi_env env, napi_callback_info info) {
  Call call(env, info);
  return call.Number(close(call.Int(0)) < 0 ? -errno : 0);
}

}  // namespace ripstop

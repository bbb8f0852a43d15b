// Network namespaces as files, and files as a namespace sees them. Cold: the control plane only.
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "call.h"
#include "netns.h"

namespace ripstop {

namespace {

struct Birth {
  const char* path;
  int error;
  const char* syscall;
};

// Runs on a thread of its own, which ends here: no thread of the program is ever left in another namespace.
void* BearNamespace(void* argument) {
  auto* birth = static_cast<Birth*>(argument);
  if (unshare(CLONE_NEWNET) < 0) {
    birth->error = errno;
    birth->syscall = "unshare(CLONE_NEWNET)";
    return nullptr;
  }
  if (mount("/proc/thread-self/ns/net", birth->path, "none", MS_BIND, nullptr) < 0) {
    birth->error = errno;
    birth->syscall = "mount(MS_BIND)";
  }
  return nullptr;
}

}  // namespace

// namespaceCreate(path): makes a network namespace and pins it to `path`, an existing empty file, by a bind mount.
// Syscalls: unshare, mount. Capability: CAP_SYS_ADMIN.
napi_value NamespaceCreate(napi_env env, napi_callback_info info) {
  Call call(env, info);
  char path[PATH_MAX];
  if (!call.Text(0, path, sizeof path)) return nullptr;
  Birth birth{path, 0, ""};
  pthread_t thread;
  int error = pthread_create(&thread, nullptr, BearNamespace, &birth);
  if (error != 0) return call.Throw(error, "pthread_create");
  pthread_join(thread, nullptr);
  if (birth.error != 0) return call.Throw(birth.error, birth.syscall);
  return call.Undefined();
}

// namespaceUnpin(path): takes the bind mount away (the file stays). 0 or -errno; -EINVAL: nothing is mounted there.
// Syscalls: umount2. Capability: CAP_SYS_ADMIN.
napi_value NamespaceUnpin(napi_env env, napi_callback_info info) {
  Call call(env, info);
  char path[PATH_MAX];
  if (!call.Text(0, path, sizeof path)) return nullptr;
  return call.Number(umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0);
}

// namespaceShareDirectory(path): binds `path` onto itself and shares its mounts, as `ip netns` does with /run/netns, so
// that a namespace pinned there is seen, and let go, in every mount namespace. 0 or -errno.
// Syscalls: mount. Capability: CAP_SYS_ADMIN.
napi_value NamespaceShareDirectory(napi_env env, napi_callback_info info) {
  Call call(env, info);
  char path[PATH_MAX];
  if (!call.Text(0, path, sizeof path)) return nullptr;
  if (mount("", path, "none", MS_SHARED | MS_REC, nullptr) == 0) return call.Number(0);
  if (errno != EINVAL) return call.Number(-errno);
  if (mount(path, path, "none", MS_BIND | MS_REC, nullptr) < 0) return call.Number(-errno);
  return call.Number(mount("", path, "none", MS_SHARED | MS_REC, nullptr) < 0 ? -errno : 0);
}

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

}  // namespace ripstop

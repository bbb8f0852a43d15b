#include "namespace-scope.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace ripstop {

NamespaceScope::NamespaceScope(const char* path) {
  if (path[0] == '\0') return;
  home_ = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home_ < 0) {
    error_ = errno;
    syscall_ = "open(/proc/thread-self/ns/net)";
    return;
  }
  int target = open(path, O_RDONLY | O_CLOEXEC);
  if (target < 0) {
    error_ = errno;
    syscall_ = "open(netns)";
    return;
  }
  if (setns(target, CLONE_NEWNET) < 0) {
    error_ = errno;
    syscall_ = "setns";
  }
  close(target);
}

NamespaceScope::~NamespaceScope() {
  if (home_ < 0) return;
  // A thread left in a foreign namespace would open its next socket there: nothing sane can follow.
  if (error_ == 0 && setns(home_, CLONE_NEWNET) < 0) {
    perror("ripstop: setns back to the home namespace");
    abort();
  }
  close(home_);
}

}  // namespace ripstop

#include "namespace-scope.h"

#include <fcntl.h>
#include <sched.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace ripstop {

NamespaceScope::NamespaceScope(const char* path) {
  if (path[0] == '\0') return;
  home_.Reset(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!home_) {
    Fail("open(/proc/thread-self/ns/net)");
    return;
  }
  const UniqueFd target(open(path, O_RDONLY | O_CLOEXEC));
  if (!target) Fail("open(netns)");
  else if (setns(target.get(), CLONE_NEWNET) < 0) Fail("setns");
}

void NamespaceScope::Fail(const char* syscall) {
  error_ = errno;
  syscall_ = syscall;
}

NamespaceScope::~NamespaceScope() {
  if (!home_ || error_ != 0) return;
  const int saved = errno;
  // A thread left in a foreign namespace would open its next socket there: nothing sane can follow.
  if (setns(home_.get(), CLONE_NEWNET) < 0) {
    perror("ripstop: setns back to the home namespace");
    abort();
  }
  errno = saved;
}

}  // namespace ripstop

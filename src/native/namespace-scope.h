// Opens descriptors inside a network namespace and returns the thread to its own namespace.
#pragma once

#include "unique-fd.h"

namespace ripstop {

// Enters the namespace at `path` for the lifetime of the object and brings the thread back. An empty path stays
// where it is. Syscalls: open, setns, close. Capability: CAP_SYS_ADMIN when a path is given.
class NamespaceScope {
 public:
  explicit NamespaceScope(const char* path);
  ~NamespaceScope();
  NamespaceScope(const NamespaceScope&) = delete;
  NamespaceScope& operator=(const NamespaceScope&) = delete;

  // 0, or the errno that kept the thread outside; `syscall()` names the call.
  int error() const { return error_; }
  const char* syscall() const { return syscall_; }

 private:
  void Fail(const char* syscall);

  UniqueFd home_;
  int error_ = 0;
  const char* syscall_ = "";
};

}  // namespace ripstop

// A bounded wait of a hot loop: on its own descriptor and on the eventfd by which the control thread interrupts it.
#pragma once

#include <cstdint>

namespace ripstop {

// 1: `fd` is readable (or in error, which the next read tells); 0: timeout, or the control eventfd fired; -errno.
// Syscall: poll.
int WaitReadable(int fd, int control, int timeout_ms);

// How long to look again before sleeping. Waking a sleeper costs more than the answer to a small packet takes to come,
// so a short look pays; but only on a core that nobody else wants. Each look lets others run first, and ends the
// looking when somebody did.
class Patience {
 public:
  explicit Patience(int microseconds) : microseconds_(microseconds) {}

  // True when it is worth looking again. Syscalls: sched_yield.
  bool Again();

 private:
  int64_t microseconds_;
  int64_t end_ = 0;
};

}  // namespace ripstop

// A bounded wait of a hot loop: on its own descriptor and on the eventfd by which the control thread interrupts it.
#pragma once

#include <cstdint>

namespace ripstop {

// 1: `fd` is readable (or in error, which the next read tells); 0: timeout, or the control eventfd fired; -errno.
// Syscall: poll.
int WaitReadable(int fd, int control, int timeout_ms);

// How long to look again before sleeping. Waking a sleeper costs more than the answer to a small packet takes to come,
// so a look pays where the next packet is near: the thread learns from its last waits how near that is, up to a limit,
// and does not look at all where waits are long. Each look lets others run first.
class AdaptivePoller {
 public:
  explicit AdaptivePoller(int limit_us) : limit_(limit_us * 1000LL) {}

  // True when it is worth looking again. Syscalls: sched_yield.
  bool ShouldSpin();
  // What WaitReadable does and returns, learning from how long it took.
  int Wait(int fd, int control, int timeout_ms);

 private:
  int64_t limit_;  // nanoseconds, as all below
  int64_t start_ = 0;
};

}  // namespace ripstop

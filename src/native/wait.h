// A bounded wait of a hot loop: on its own descriptor and on the eventfd by which the control thread interrupts it.
#pragma once

#include <cstdint>

namespace ripstop {

// 1: `fd` is readable (or in error, which the next read returns); 0: timeout, or the control eventfd fired; -errno.
// Syscall: poll.
int WaitReadable(int fd, int control, int timeout_ms);

// How long to poll before blocking. Waking a blocked thread costs more than a small packet's answer takes, so spinning
// pays when the next packet arrives soon. The thread adapts the time to its last waits, up to a limit, and does not
// spin when waits are long. Each turn yields the CPU first.
class AdaptivePoller {
 public:
  // `learned_ns` is kept between the calls of one thread.
  AdaptivePoller(int limit_us, int64_t* learned_ns) : limit_(limit_us * 1000LL), learned_(learned_ns) {}

  // True when the caller should poll again. Syscalls: sched_yield.
  bool ShouldSpin();
  // Does and returns what WaitReadable does, and learns from how long it took.
  int Wait(int fd, int control, int timeout_ms);

 private:
  int64_t limit_;  // nanoseconds, as all here
  int64_t* learned_;
  int64_t start_ = 0;
};

}  // namespace ripstop

// A bounded wait of a hot loop: on its own descriptor and on the eventfd by which the control thread interrupts it.
#pragma once

#include <cstdint>

namespace ripstop {

// 1: `fd` is readable (or in error, which the next read tells); 0: timeout, or the control eventfd fired; -errno.
// Syscall: poll.
int WaitReadable(int fd, int control, int timeout_ms);

}  // namespace ripstop

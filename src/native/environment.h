// What the addon keeps for one JavaScript environment: the main thread or one worker.
#pragma once

#include <node_api.h>

#include <cstdint>

#include "owned.h"

namespace ripstop {

class FrameWriter;
class Receiver;
class Sender;

// Busy polling: how long a thread reads again and again before it sleeps. Waking a thread costs more than a small packet's
// answer takes, so polling pays when the next packet arrives soon. The thread adapts the time to its last sleeps
// (waitReadable). In nanoseconds.
struct Polling {
  // After a read that found nothing: true to read again, after a yield. `is_first`: the read before that one had found
  // something. Syscall: sched_yield.
  bool Again(bool is_first, int64_t limit_ns);

  // When nothing was left to read.
  int64_t start_ns = 0;
  // How long to poll from then on.
  int64_t learned_ns = 0;
};

// Allocated when the environment loads the addon and freed when it ends. The large members are allocated by the first
// call that needs them, so that an environment without a data plane does not pay for them.
struct Environment {
  static Environment& Of(napi_env env);

  Owned<FrameWriter> writer;
  Owned<Receiver> receiver;
  Owned<Sender> sender;
  Polling polling;
};

// Makes the Environment of `env`. False, with a pending exception, when Node refuses it.
bool CreateEnvironment(napi_env env);

}  // namespace ripstop

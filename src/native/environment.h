// What the addon keeps for one JavaScript environment: the main thread or one worker.
#pragma once

#include <node_api.h>

#include <cstdint>

#include "owned.h"

namespace ripstop {

class FrameWriter;
class Receiver;
class Sender;

// Allocated when the environment loads the addon and freed when it ends. The large members are allocated by the first
// call that needs them, so that an environment without a data plane does not pay for them.
struct Environment {
  static Environment& Of(napi_env env);

  Owned<FrameWriter> writer;
  Owned<Receiver> receiver;
  Owned<Sender> sender;
  // How long waits of this thread spin before they block, nanoseconds. See AdaptivePoller.
  int64_t spin_ns = 0;
};

// Makes the Environment of `env`. False, with a pending exception, when Node refuses it.
bool CreateEnvironment(napi_env env);

}  // namespace ripstop

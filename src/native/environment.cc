#include "environment.h"

namespace ripstop {

bool CreateEnvironment(napi_env env) {
  auto* environment = Create<Environment>();
  const auto destroy = [](napi_env, void* data, void*) { Destroy(static_cast<Environment*>(data)); };
  if (napi_set_instance_data(env, environment, destroy, nullptr) == napi_ok) return true;
  Destroy(environment);
  napi_throw_error(env, nullptr, "the native addon cannot keep its state");
  return false;
}

Environment& Environment::Of(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Environment*>(data);
}

}  // namespace ripstop

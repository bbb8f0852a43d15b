#include "call.h"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "errno-name.h"

namespace ripstop {

Call::Call(napi_env env, napi_callback_info info) : env_(env) {
  void* name = nullptr;  // addon.cc binds each function to its name
  napi_get_cb_info(env, info, &count_, args_, nullptr, &name);
  if (name != nullptr) function_ = static_cast<const char*>(name);
}

void Call::Reject(size_t index, bool is_range, const char* demand) {
  if (!ok_) return;
  ok_ = false;
  char text[256];
  snprintf(text, sizeof text, "native %s: argument %zu must be %s", function_, index + 1, demand);
  if (is_range) napi_throw_range_error(env_, "ERR_OUT_OF_RANGE", text);
  else napi_throw_type_error(env_, "ERR_INVALID_ARG_TYPE", text);
}

void Call::Require(bool holds, size_t index, const char* demand) {
  if (!holds) Reject(index, true, demand);
}

int64_t Call::Integer(size_t index, int64_t min, int64_t max) {
  if (!ok_) return 0;
  double value = 0;
  if (index >= count_ || napi_get_value_double(env_, args_[index], &value) != napi_ok) {
    Reject(index, false, "a number");
    return 0;
  }
  // Comparisons with NaN are false.
  if (value >= static_cast<double>(min) && value <= static_cast<double>(max) && value == std::trunc(value))
    return static_cast<int64_t>(value);
  char demand[96];
  snprintf(demand, sizeof demand, "an integer from %lld to %lld", static_cast<long long>(min),
           static_cast<long long>(max));
  Reject(index, true, demand);
  return 0;
}

void Call::CopyText(size_t index, char* buffer, size_t size) {
  buffer[0] = '\0';
  if (!ok_) return;
  size_t length = 0;
  if (index >= count_ || napi_get_value_string_utf8(env_, args_[index], nullptr, 0, &length) != napi_ok)
    return Reject(index, false, "a string");
  if (length >= size) return Reject(index, true, "a shorter string");
  napi_get_value_string_utf8(env_, args_[index], buffer, size, &length);
  if (strlen(buffer) == length) return;
  buffer[0] = '\0';
  Reject(index, true, "a string without NUL");
}

void* Call::TypedArray(size_t index, napi_typedarray_type type, const char* name, size_t* count) {
  *count = 0;
  if (!ok_) return nullptr;
  void* data = nullptr;
  size_t length = 0;
  napi_typedarray_type actual;
  if (index >= count_ ||
      napi_get_typedarray_info(env_, args_[index], &actual, &length, &data, nullptr, nullptr) != napi_ok ||
      actual != type) {
    Reject(index, false, name);
    return nullptr;
  }
  *count = length;
  return data;
}

uint8_t* Call::Bytes(size_t index, size_t* size) {
  return static_cast<uint8_t*>(TypedArray(index, napi_uint8_array, "a Uint8Array", size));
}

uint8_t* Call::FixedBytes(size_t index, size_t size) {
  size_t actual;
  uint8_t* bytes = Bytes(index, &actual);
  char demand[48];
  snprintf(demand, sizeof demand, "a Uint8Array of %zu bytes", size);
  Require(actual == size, index, demand);
  return bytes;
}

int32_t* Call::Ints(size_t index, size_t* count) {
  return static_cast<int32_t*>(TypedArray(index, napi_int32_array, "an Int32Array", count));
}

napi_value Call::Number(double value) const {
  napi_value result = nullptr;
  napi_create_double(env_, value, &result);
  return result;
}

napi_value Call::Undefined() const {
  napi_value result = nullptr;
  napi_get_undefined(env_, &result);
  return result;
}

napi_value Call::Throw(int error, const char* syscall) const {
  const char* name = ErrnoName(error);
  char text[256];
  snprintf(text, sizeof text, "%s: %s: %s", name ? name : "EUNKNOWN", syscall, strerror(error));
  napi_value code, message, object, number, call;
  napi_create_string_utf8(env_, name ? name : "EUNKNOWN", NAPI_AUTO_LENGTH, &code);
  napi_create_string_utf8(env_, text, NAPI_AUTO_LENGTH, &message);
  napi_create_error(env_, code, message, &object);
  napi_create_int32(env_, error, &number);
  napi_create_string_utf8(env_, syscall, NAPI_AUTO_LENGTH, &call);
  napi_set_named_property(env_, object, "errno", number);
  napi_set_named_property(env_, object, "syscall", call);
  napi_throw(env_, object);
  return nullptr;
}

napi_value Call::NumberOrThrow(int result, const char* syscall) const {
  return result < 0 ? Throw(errno, syscall) : Number(result);
}

napi_value Call::NumberOrErrno(int64_t result) const {
  return Number(result < 0 ? -errno : static_cast<double>(result));
}

}  // namespace ripstop

#include "call.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace ripstop {

Call::Call(napi_env env, napi_callback_info info) : env_(env) {
  napi_get_cb_info(env, info, &count_, args_, nullptr, nullptr);
}

int32_t Call::Int(size_t index) const {
  int32_t value = 0;
  if (index >= count_ || napi_get_value_int32(env_, args_[index], &value) != napi_ok)
    napi_throw_type_error(env_, nullptr, "native call: a number is missing");
  return value;
}

uint32_t Call::Uint(size_t index) const { return static_cast<uint32_t>(Int(index)); }

bool Call::Text(size_t index, char* buffer, size_t size) const {
  size_t length = 0;
  buffer[0] = '\0';
  if (index >= count_ || napi_get_value_string_utf8(env_, args_[index], nullptr, 0, &length) != napi_ok) {
    napi_throw_type_error(env_, nullptr, "native call: a string is missing");
    return false;
  }
  if (length >= size) {
    napi_throw_type_error(env_, nullptr, "native call: a string is too long");
    return false;
  }
  return napi_get_value_string_utf8(env_, args_[index], buffer, size, &length) == napi_ok;
}

uint8_t* Call::Bytes(size_t index, size_t* size) const {
  void* data = nullptr;
  *size = 0;
  napi_typedarray_type type = napi_uint8_array;
  if (index >= count_ ||
      napi_get_typedarray_info(env_, args_[index], &type, size, &data, nullptr, nullptr) != napi_ok ||
      type != napi_uint8_array) {
    *size = 0;
    napi_throw_type_error(env_, nullptr, "native call: a Uint8Array is missing");
    return nullptr;
  }
  return static_cast<uint8_t*>(data);
}

int32_t* Call::Ints(size_t index, size_t* count) const {
  void* data = nullptr;
  *count = 0;
  napi_typedarray_type type = napi_int32_array;
  if (index >= count_ ||
      napi_get_typedarray_info(env_, args_[index], &type, count, &data, nullptr, nullptr) != napi_ok ||
      type != napi_int32_array) {
    *count = 0;
    napi_throw_type_error(env_, nullptr, "native call: an Int32Array is missing");
    return nullptr;
  }
  return static_cast<int32_t*>(data);
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
  const char* name = strerrorname_np(error);
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

}  // namespace ripstop

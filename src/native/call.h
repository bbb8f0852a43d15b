// The two shapes of a call into this addon.
//
// Hot calls take numbers and typed arrays, return n >= 0 or -errno, and never throw.
// Set-up calls throw an Error with {code, errno, syscall} when the kernel refuses.
#pragma once

#include <node_api.h>

#include <cstddef>
#include <cstdint>

namespace ripstop {

// Arguments of one call, read by position. A wrong type leaves a TypeError pending and yields zero or null: the
// TypeScript side has checked them already, so this is the last line, not the message for people.
class Call {
 public:
  Call(napi_env env, napi_callback_info info);

  int32_t Int(size_t index) const;
  uint32_t Uint(size_t index) const;
  // Copies a string argument, NUL-terminated; false (with a pending TypeError) when it does not fit.
  bool Text(size_t index, char* buffer, size_t size) const;
  // Bytes of a typed array; `size` receives its length in bytes.
  uint8_t* Bytes(size_t index, size_t* size) const;
  // An Int32Array; `count` receives its elements.
  int32_t* Ints(size_t index, size_t* count) const;

  napi_value Number(double value) const;
  napi_value Undefined() const;
  // Throws {code, errno, syscall}; `error` is a positive errno.
  napi_value Throw(int error, const char* syscall) const;
  // n >= 0 as it is; -1 becomes a thrown errno.
  napi_value NumberOrThrow(int result, const char* syscall) const;

  napi_env env() const { return env_; }
  size_t count() const { return count_; }

 private:
  static constexpr size_t kMax = 16;
  napi_env env_;
  napi_value args_[kMax];
  size_t count_ = kMax;
};

}  // namespace ripstop

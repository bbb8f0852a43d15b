// The two shapes of a call into this addon.
//
// Hot calls take numbers and typed arrays and return n >= 0 or -errno.
// Set-up calls throw an Error with {code, errno, syscall} when the kernel refuses.
//
// Both throw when an argument is wrong, and do nothing then: a function reads all its arguments, returns where ok() is
// false, and only then acts.
#pragma once

#include <node_api.h>

#include <cstddef>
#include <cstdint>

namespace ripstop {

// Arguments of one call, read by position. The first wrong one leaves a TypeError or a RangeError pending; from then on
// ok() is false and the values read are zero, empty or null.
class Call {
 public:
  Call(napi_env env, napi_callback_info info);

  // False when an argument was wrong: the caller returns nullptr at once.
  bool ok() const { return ok_; }

  // An integer from `min` to `max`. NaN, infinities and fractions are out of range.
  int32_t Int(size_t index, int32_t min, int32_t max) { return static_cast<int32_t>(Integer(index, min, max)); }
  uint32_t Uint(size_t index, uint32_t max = UINT32_MAX) { return static_cast<uint32_t>(Integer(index, 0, max)); }
  // A descriptor; one that is not open is the kernel's to refuse.
  int Fd(size_t index) { return Int(index, 0, INT32_MAX); }
  // A descriptor, or -1 for none.
  int OptionalFd(size_t index) { return Int(index, -1, INT32_MAX); }
  // A user or group id, or -1 for none.
  int64_t OptionalId(size_t index) { return Integer(index, -1, UINT32_MAX - 1); }
  // Milliseconds as poll(2) counts them: -1 waits without a limit.
  int Timeout(size_t index) { return Int(index, -1, INT32_MAX); }

  // Copies a string without NUL in it that fits with its terminator.
  template <size_t N>
  void Text(size_t index, char (&buffer)[N]) {
    CopyText(index, buffer, N);
  }
  // Bytes of a Uint8Array; `size` receives its length.
  uint8_t* Bytes(size_t index, size_t* size);
  // A Uint8Array of exactly `size` bytes.
  uint8_t* FixedBytes(size_t index, size_t size);
  // An Int32Array; `count` receives its elements.
  int32_t* Ints(size_t index, size_t* count);
  // Throws a RangeError unless `holds`: for what one argument demands of another.
  void Require(bool holds, size_t index, const char* demand);

  napi_value Number(double value) const;
  napi_value Undefined() const;
  // Throws {code, errno, syscall}; `error` is a positive errno.
  napi_value Throw(int error, const char* syscall) const;
  // n >= 0 as it is; -1 becomes a thrown errno.
  napi_value NumberOrThrow(int result, const char* syscall) const;
  // n >= 0 as it is; -1 becomes -errno.
  napi_value NumberOrErrno(int64_t result) const;

  napi_env env() const { return env_; }

 private:
  static constexpr size_t kMax = 16;

  int64_t Integer(size_t index, int64_t min, int64_t max);
  void CopyText(size_t index, char* buffer, size_t size);
  void* TypedArray(size_t index, napi_typedarray_type type, const char* name, size_t* count);
  // Throws once, naming the function and the argument.
  void Reject(size_t index, bool is_range, const char* demand);

  napi_env env_;
  napi_value args_[kMax];
  size_t count_ = kMax;
  const char* function_ = "";
  bool ok_ = true;
};

}  // namespace ripstop

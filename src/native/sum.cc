#include <cerrno>

#include "call.h"
#include "checksum.h"

namespace ripstop {

// checksum(bytes, offset, length) -> the folded sum of the range as a big-endian number, or -EINVAL. No syscall.
napi_value ChecksumOf(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t size;
  const uint8_t* bytes = call.Bytes(0, &size);
  const size_t offset = call.Uint(1);
  const size_t length = call.Uint(2);
  if (offset > size || length > size - offset) return call.Number(-EINVAL);
  return call.Number(__builtin_bswap16(Fold(Sum(bytes + offset, length))));
}

}  // namespace ripstop

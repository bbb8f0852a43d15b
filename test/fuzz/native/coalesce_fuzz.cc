// libFuzzer target: a train of frames, each a length byte pair and its bytes, through ParseHeaders, TryMerge and
// BuildHeader.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "offload/checksum.h"
#include "offload/coalesce.h"

using namespace ripstop;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const uint32_t flags = data[0] & 15;
  const size_t l3 = data[1] % 28;
  std::vector<std::vector<uint8_t>> frames;
  std::vector<int32_t> descriptor(kStride);
  auto run = std::make_unique<Run>();
  bool open = false;
  for (size_t at = 2; at + 2 <= size;) {
    const size_t length = Load16(data + at) % 2048;
    at += 2;
    const size_t take = length < size - at ? length : size - at;
    frames.emplace_back(data + at, data + at + take);  // a heap block of its own, so that one byte too far is seen
    at += take;
  }
  for (auto& frame : frames) {
    HeaderOffsets headers;
    if (!ParseHeaders(frame.data(), frame.size(), l3, &headers)) continue;
    if (headers.payload > headers.end || headers.end > frame.size() || headers.l4 < l3) abort();
    if (headers.payload > kHeaderMax) continue;
    (void)CheckSum(frame.data(), headers, flags);
    bool corrupt = false;
    if (open && SameFlow(*run, frame.data(), headers) &&
        TryMerge(run.get(), frame.data(), headers, descriptor.data(), flags, &corrupt) != Merge::kRefused)
      continue;
    if (open) {
      uint8_t out[kHeaderMax + sizeof(VnetHeader)];
      const size_t header = BuildHeader(*run, data[0] & 16 ? 1 + data[1] : 0, out);
      uint32_t payload = 0;
      for (uint32_t i = 0; i < run->count; i++) payload += static_cast<uint32_t>(run->pieces[i].iov_len);
      if (header != sizeof(VnetHeader) + run->headers.payload || payload != run->payload || payload > 65535) abort();
    }
    StartRun(run.get(), frame.data(), headers, descriptor.data());
    open = true;
  }
  return 0;
}

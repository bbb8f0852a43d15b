// libFuzzer target: a packet with any offload metadata. Every segment must lie within the frame, all payload must
// come out once and in order, and the headers of a good plan must be whole.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "offload/checksum.h"
#include "offload/segment.h"

using namespace ripstop;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 8) return 0;
  std::vector<uint8_t> frame(data + 8, data + size);
  const GsoPacket packet{frame.data(),    static_cast<uint32_t>(frame.size()), data[0] % 32u, data[1], Load16(data + 2),
                         Load16(data + 4)};
  if (!FinishChecksum(frame.data(), static_cast<uint32_t>(frame.size()), Load16(data + 4), data[6])) {
    // Refused: nothing may have been written, which the address sanitizer would tell.
  }
  SegmentPlan plan;
  if (!PlanSegments(packet, &plan)) return 0;
  uint32_t total = 0;
  const uint8_t* expected = frame.data() + plan.header;
  for (uint32_t i = 0; i < plan.count; i++) {
    std::vector<uint8_t> header(plan.header);
    uint32_t payload;
    const uint8_t* bytes = MakeSegment(plan, i, header.data(), &payload, data[7] & 1);
    if (bytes != expected + total || payload == 0 || payload > packet.gso_size) abort();
    total += payload;
  }
  if (total != plan.payload) abort();
  return 0;
}

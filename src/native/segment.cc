#include "segment.h"

#include "batch.h"
#include "checksum.h"
#include "packet.h"

namespace ripstop {
namespace {

constexpr uint8_t kFin = 0x01;
constexpr uint8_t kPsh = 0x08;
constexpr uint8_t kCwr = 0x80;

}  // namespace

bool PlanSegments(const Superframe& superframe, SegmentPlan* plan) {
  const uint8_t* frame = superframe.frame;
  const uint32_t l4 = superframe.csum_start;
  if (superframe.gso_size == 0 || superframe.l3 > 22 || superframe.size < superframe.l3 + 20) return false;
  const uint8_t* ip = frame + superframe.l3;
  plan->source = &superframe;
  plan->version = ip[0] >> 4;
  uint32_t l3_header;
  if (plan->version == 4) {
    l3_header = static_cast<uint32_t>(ip[0] & 0x0f) * 4;
    if (l3_header < 20 || l4 != superframe.l3 + l3_header) return false;
  } else if (plan->version == 6) {
    l3_header = 40;
    if (l4 < superframe.l3 + l3_header) return false;  // extension headers may lie between
  } else {
    return false;
  }
  switch (superframe.gso_type) {
    case kGsoTcp4:
      if (plan->version != 4) return false;
      plan->protocol = kTcp;
      break;
    case kGsoTcp6:
      if (plan->version != 6) return false;
      plan->protocol = kTcp;
      break;
    case kGsoUdp:
      plan->protocol = kUdp;
      break;
    default:
      return false;
  }
  if (plan->protocol == kTcp) {
    if (superframe.size < l4 + 20) return false;
    // virtio's hdr_len is a hint only: on forwarded traffic it may cover payload.
    plan->header = l4 + static_cast<uint32_t>(frame[l4 + 12] >> 4) * 4;
    if (plan->header < l4 + 20) return false;
  } else {
    plan->header = l4 + 8;
  }
  if (plan->header >= superframe.size || plan->header > kSegmentHeaderMax) return false;
  plan->payload = superframe.size - plan->header;
  plan->count = (plan->payload + superframe.gso_size - 1) / superframe.gso_size;

  plan->ip_sum = 0;
  if (plan->version == 4) {
    plan->ip_sum = Sum(ip, l3_header) - Load16(ip + 2) - Load16(ip + 4) - Load16(ip + 10);
  }
  Layers layers;
  layers.version = plan->version;
  layers.protocol = plan->protocol;
  layers.l3 = static_cast<uint16_t>(superframe.l3);
  plan->pseudo_sum = PseudoSum(frame, layers, 0);
  uint64_t sum = plan->pseudo_sum + Sum(frame + l4, plan->header - l4);
  if (plan->protocol == kTcp)
    sum -= static_cast<uint64_t>(Load32(frame + l4 + 4)) + Load16(frame + l4 + 12) + Load16(frame + l4 + 16);
  else
    sum -= static_cast<uint64_t>(Load16(frame + l4 + 4)) + Load16(frame + l4 + 6);
  plan->l4_sum = Fold(sum);
  return true;
}

const uint8_t* MakeSegment(const SegmentPlan& plan, uint32_t index, uint8_t* header, uint32_t* payload_size,
                           bool remote) {
  const Superframe& source = *plan.source;
  const uint32_t start = index * source.gso_size;
  const uint32_t size = plan.payload - start < source.gso_size ? plan.payload - start : source.gso_size;
  const uint8_t* payload = source.frame + plan.header + start;
  memcpy(header, source.frame, plan.header);

  uint8_t* ip = header + source.l3;
  const uint32_t packet = plan.header - source.l3 + size;
  if (plan.version == 4) {
    StoreBig16(ip + 2, packet);
    StoreBig16(ip + 4, Big16(ip + 4) + index);
    Store16(ip + 10, static_cast<uint16_t>(~Fold(plan.ip_sum + Load16(ip + 2) + Load16(ip + 4))));
  } else {
    StoreBig16(ip + 4, packet - 40);
  }

  uint8_t* l4 = header + source.csum_start;
  const uint32_t l4_size = plan.header - source.csum_start + size;
  uint8_t length[4];
  StoreBig32(length, l4_size);
  uint64_t sum = remote ? 0 : plan.l4_sum + Load32(length) + Sum(payload, size);
  if (plan.protocol == kTcp) {
    StoreBig32(l4 + 4, Big32(l4 + 4) + start);
    if (index != 0) l4[13] &= static_cast<uint8_t>(~kCwr);
    if (index != plan.count - 1) l4[13] &= static_cast<uint8_t>(~(kFin | kPsh));
    Store16(l4 + 16, static_cast<uint16_t>(~Fold(sum + Load32(l4 + 4) + Load16(l4 + 12))));
  } else {
    StoreBig16(l4 + 4, l4_size);
    const uint16_t checksum = static_cast<uint16_t>(~Fold(sum + Load16(l4 + 4)));
    Store16(l4 + 6, checksum == 0 ? 0xffff : checksum);  // RFC 768: a computed zero is sent as all ones
  }
  if (remote) Store16(l4 + ChecksumOffset(plan.protocol), Fold(plan.pseudo_sum + Load32(length)));
  *payload_size = size;
  return payload;
}

bool FinishChecksum(uint8_t* frame, uint32_t size, uint32_t start, uint32_t offset) {
  if (start > size || offset > size - start || size - start - offset < 2) return false;
  uint16_t checksum = static_cast<uint16_t>(~Fold(Sum(frame + start, size - start)));
  if (offset == 6 && checksum == 0) checksum = 0xffff;
  Store16(frame + start + offset, checksum);
  return true;
}

}  // namespace ripstop

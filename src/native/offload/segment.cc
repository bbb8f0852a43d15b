#include "segment.h"

#include "../constants.h"
#include "checksum.h"
#include "headers.h"

namespace ripstop {
namespace {

constexpr uint8_t kFin = 0x01;
constexpr uint8_t kPsh = 0x08;
constexpr uint8_t kCwr = 0x80;

}  // namespace

bool PlanSegments(const GsoPacket& packet, SegmentPlan* plan) {
  const uint8_t* frame = packet.frame;
  const uint32_t l4 = packet.csum_start;
  if (packet.gso_size == 0 || packet.l3 > 22 || packet.size < packet.l3 + 20) return false;
  const uint8_t* ip = frame + packet.l3;
  plan->source = &packet;
  plan->version = ip[0] >> 4;
  uint32_t l3_header;
  if (plan->version == 4) {
    l3_header = static_cast<uint32_t>(ip[0] & 0x0f) * 4;
    if (l3_header < 20 || l4 != packet.l3 + l3_header) return false;
  } else if (plan->version == 6) {
    l3_header = 40;
    if (l4 < packet.l3 + l3_header) return false;  // extension headers may lie between
  } else {
    return false;
  }
  switch (packet.gso_type) {
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
    if (packet.size < l4 + 20) return false;
    // virtio's hdr_len is a hint only: on forwarded traffic it may cover payload.
    plan->header = l4 + static_cast<uint32_t>(frame[l4 + 12] >> 4) * 4;
    if (plan->header < l4 + 20) return false;
  } else {
    plan->header = l4 + 8;
  }
  if (plan->header >= packet.size || plan->header > kSegmentHeaderMax) return false;
  plan->payload = packet.size - plan->header;
  plan->count = (plan->payload + packet.gso_size - 1) / packet.gso_size;

  plan->ip_sum = 0;
  if (plan->version == 4) {
    plan->ip_sum = Sum(ip, l3_header) - Load16(ip + 2) - Load16(ip + 4) - Load16(ip + 10);
  }
  HeaderOffsets headers;
  headers.version = plan->version;
  headers.protocol = plan->protocol;
  headers.l3 = static_cast<uint16_t>(packet.l3);
  plan->pseudo_sum = PseudoSum(frame, headers, 0);
  uint64_t sum = plan->pseudo_sum + Sum(frame + l4, plan->header - l4);
  if (plan->protocol == kTcp)
    sum -= static_cast<uint64_t>(Load32(frame + l4 + 4)) + Load16(frame + l4 + 12) + Load16(frame + l4 + 16);
  else sum -= static_cast<uint64_t>(Load16(frame + l4 + 4)) + Load16(frame + l4 + 6);
  plan->l4_sum = Fold(sum);
  return true;
}

const uint8_t* MakeSegment(const SegmentPlan& plan, uint32_t index, uint8_t* header, uint32_t* payload_size,
                           bool remote) {
  const GsoPacket& source = *plan.source;
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

// Egress: one GSO packet is cut into the packets that the kernel would have sent without the offload. Pure: no system
// calls, no N-API.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ripstop {

struct GsoPacket {
  uint8_t* frame;       // inner frame
  uint32_t size;        // its bytes
  uint32_t l3;          // bytes before the IP header
  uint8_t gso_type;     // virtio-net, ECN bit masked away
  uint32_t gso_size;    // payload bytes per segment
  uint32_t csum_start;  // virtio-net: where L4 begins
};

// How a GSO packet is cut; filled by PlanSegments and constant afterwards.
struct SegmentPlan {
  const GsoPacket* source;
  uint32_t header;      // bytes of Ethernet, IP and L4 header, repeated in every segment
  uint32_t payload;     // bytes behind the header
  uint32_t count;       // segments
  uint8_t version;      // 4 or 6
  uint8_t protocol;     // TCP or UDP
  uint64_t ip_sum;      // IPv4 header sum without total length, identification and checksum
  uint64_t pseudo_sum;  // pseudo-header without length
  uint64_t l4_sum;      // the same, and the L4 header without the fields that differ per segment
};

// Largest header that a segment repeats: Ethernet with two tags, IPv4 or IPv6 with extensions, TCP with options.
constexpr uint32_t kSegmentHeaderMax = 256;

// Checks the lengths of a GSO packet and prepares the plan. False when the headers contradict the frame.
bool PlanSegments(const GsoPacket& packet, SegmentPlan* plan);

// Writes the header of segment `index` to `header` (plan.header bytes) and returns where its payload is. Lengths,
// IPv4 identification, TCP sequence and flags (CWR on the first, FIN and PSH on the last alone), checksums: as the
// kernel's own segmentation would have made them. With `remote` the L4 checksum field holds the pseudo-header's sum
// alone, for the receiver to finish.
const uint8_t* MakeSegment(const SegmentPlan& plan, uint32_t index, uint8_t* header, uint32_t* payload_size,
                           bool remote);

// Finishes a checksum that the kernel left to its device (VIRTIO_NET_HDR_F_NEEDS_CSUM): the field holds the
// pseudo-header's sum. False when the positions lie outside the frame.
bool FinishChecksum(uint8_t* frame, uint32_t size, uint32_t start, uint32_t offset);

}  // namespace ripstop

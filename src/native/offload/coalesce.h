// Ingress: segments of one flow are merged into one GSO packet. Pure: no system calls, no N-API. The rules are those of
// the kernel's GRO, with one exception: PSH ends a run there and not here. It is not a record mark, and successive ones
// may collapse into the last (RFC 9293 3.9.1.2, docs/decisions/0007).
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "../constants.h"
#include "headers.h"

namespace ripstop {

constexpr uint32_t kRunMax = 128;  // segments in one GSO packet: UDP_MAX_SEGMENTS of the kernel
constexpr uint32_t kFlowMax = 16;  // flows open at once
constexpr uint32_t kHeaderMax = 160;

// The state of an inner checksum. An IPv4 UDP datagram without one is kAbsent. A partial checksum is the bare
// pseudo-header sum, as in the kernel's CHECKSUM_PARTIAL. Where `flags` accept these, such a field counts as partial
// without a sum of the payload: completing a checksum that happens to be complete leaves it as it is.
enum class Checksum { kGood, kBad, kPartial, kAbsent };
Checksum CheckSum(const uint8_t* frame, const HeaderOffsets& headers, uint32_t flags);

// A run of frames of one flow, ready to be one write.
struct Run {
  HeaderOffsets headers;
  uint8_t* frame;             // first frame
  uint32_t segment;           // payload bytes of every segment but the last
  uint32_t payload;           // payload bytes in all
  uint32_t next_sequence;     // TCP: what would continue the run
  uint32_t count;             // frames
  bool closed;                // nothing may follow: the last segment is a short one
  uint16_t id;                // IPv4: identification of the first frame
  bool fixed_id;              // IPv4: all frames have that one; else it counts up
  uint8_t push;               // TCP: PSH, when a frame carries it; then the merged header does
  bool checked;               // the first frame's checksum is known to be good
  bool partial;               // the frames carry partial checksums
  bool remote;                // and the encapsulation says so (remote checksum offload): they are not verified
  int32_t* first;             // descriptor of the first frame
  iovec pieces[kRunMax];      // payloads; [0] is the first frame's
  int32_t* members[kRunMax];  // descriptors, for the result of the write
};

enum class Merge { kJoined, kRefused, kCorrupt };

// Starts a run with a frame that ParseHeaders() accepted.
void StartRun(Run* run, uint8_t* frame, const HeaderOffsets& headers, int32_t* descriptor);

// True when both frames are of one direction of one flow.
bool SameFlow(const Run& run, const uint8_t* frame, const HeaderOffsets& headers);

// Appends the frame when the kernel's rules allow it. kCorrupt: the frame's own checksum is wrong. `first_corrupt` is
// set when the run's only frame turned out to be the wrong one.
Merge TryMerge(Run* run, uint8_t* frame, const HeaderOffsets& headers, int32_t* descriptor, uint32_t flags,
               bool* first_corrupt);

// Writes the virtio-net header and the merged packet header to `out`; returns their bytes. A run of one keeps its own
// checksum; a merged run leaves it to the receiving kernel, seeded with the pseudo-header sum.
// `segment_hint` is the segment size for a lone frame that is itself a GSO packet (0: it is not).
size_t BuildHeader(const Run& run, uint32_t segment_hint, uint8_t* out);

}  // namespace ripstop

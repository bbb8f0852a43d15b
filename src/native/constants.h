// The numbers that C++ and TypeScript share; src/dataplane/descriptor/descriptor.ts and
// src/dataplane/tables/peer-table.ts describe the fields. addon.cc exports all of them as `constants`. They are
// compared when the addon loads, and a stale binary is refused.
#pragma once

#include <cstdint>

namespace ripstop {

enum Descriptor : int {
  kOffset = 0,
  kLength = 1,
  kOffload = 2,
  kGsoSize = 3,
  kCsumStart = 4,
  kCsumOffset = 5,
  kVerdict = 6,
  kPeer = 7,
  kSocket = 8,  // egress: sending socket
  kSource = 8,  // ingress: message that the datagram came in
  kSegments = 9,
  kError = 10,
  kL3 = 11,
  kFlow = 12,
  kFirstMessage = 13,  // scratch of udpSend
  kLastMessage = 14,
  kPlaces = 15,  // egress: where its datagrams are in their messages, see udp-send.cc
  kStride = 16,
};

// Verdicts that the native side sets or reads; src/dataplane/descriptor/verdicts.ts names them all.
enum Verdict : int32_t {
  kPending = 0,
  kForward = 1,
  kTooBig = 6,
  kEgressMalformed = 7,
  kSendFailed = 8,
  kBadChecksum = 17,
  kWriteFailed = 19,
};

enum PeerField : int {
  kPeerFamily = 0,
  kPeerPort = 1,
  kPeerAddress = 2,
  kPeerHeaderBytes = 8,
  kPeerHeader = 9,
  kPeerUnsegmented = 13,
  kPeerRemoteChecksum = 14,
  kPeerStride = 32,
};

enum SourceField : int {
  kSourceAddress = 0,
  kSourcePort = 4,
  kSourceTruncated = 5,
  kSourceBytes = 6,
  kSourceHopLimit = 7,  // -1: not known
  kSourceFlowInfo = 8,
  kSourceSeconds = 9,  // 0: not known
  kSourceNanoseconds = 10,
  kSourceStride = 12,
};

// What a send or a write did, for the counters: added to, never cleared, by the native side.
enum Stat : int {
  kStatCalls = 0,      // system calls made
  kStatUnits = 1,      // messages sent or device writes made
  kStatMerged = 2,     // datagrams that shared a message, or frames that shared a write
  kStatFallbacks = 3,  // offloaded units that the kernel refused and that went out one by one
  kStatCount = 4,
};

// Flags of udpOpen.
enum OpenFlag : int {
  kReusePort = 1,
  kDontFragment = 2,  // outer DF: a datagram larger than the path MTU is refused, not fragmented
  kIpv6 = 4,
  kReceiveOnly = 8,  // nothing is sent: an ICMP error about this socket's port is forged, and changes no path MTU
};

// Flags of tunWrite.
enum WriteFlag : uint32_t {
  kMergeTcp = 1,
  kMergeUdp = 2,
  // Accept a partial checksum: a kernel peer on this very host left it to a device that the packet never passed. Only
  // with proof that the underlay is local.
  kAcceptPartial = 4,
};

// Words of a frame that captureRead has read; src/net/packet/frame-socket.ts describes them.
enum CaptureField : int {
  kCapturedOffset = 0,
  kCapturedBytes = 1,
  kCapturedLength = 2,
  kCapturedOutgoing = 3,
  kCapturedSeconds = 4,
  kCapturedNanoseconds = 5,
  kCapturedOffload = 6,
  kCapturedGsoSize = 7,
  kCapturedCsumStart = 8,
  kCapturedCsumOffset = 9,
  kCapturedStride = 10,
};

// What nftRun is asked for: a listing in JSON, changes in JSON, changes in nft's language.
enum NftKind : int { kNftListing = 0, kNftJson = 1, kNftScript = 2 };

// Smallest (RFC 791) and largest MTU of a device.
constexpr int kMtuMin = 68;
constexpr int kMtuMax = 65535;

// Longest busy polling before a wait, microseconds: one second.
constexpr int kBusyPollMaxUs = 1000000;

// What waitReadable returns, combined.
enum Ready : int { kReadyFirst = 1, kReadySecond = 2 };

// Most sockets of one udpSend, and most messages of one udpReceive.
constexpr int kSocketsMax = 128;
constexpr int kMessagesMax = 64;

// Bytes in front of a frame that encapsulation may overwrite, and the largest frame.
constexpr int32_t kHeadroom = 128;
constexpr int32_t kFrameMax = 65535 + 22;

// virtio_net_hdr of linux/virtio_net.h, 10 bytes, followed by num_buffers where the header size is 12.
struct VnetHeader {
  uint8_t flags;
  uint8_t gso_type;
  uint16_t hdr_len;
  uint16_t gso_size;
  uint16_t csum_start;
  uint16_t csum_offset;
  uint16_t num_buffers;
};
static_assert(sizeof(VnetHeader) == 12, "virtio-net header with num_buffers");

constexpr uint8_t kNeedsCsum = 1;
constexpr uint8_t kGsoTcp4 = 1;
constexpr uint8_t kGsoTcp6 = 4;
constexpr uint8_t kGsoUdp = 5;
constexpr uint8_t kGsoEcn = 0x80;

}  // namespace ripstop

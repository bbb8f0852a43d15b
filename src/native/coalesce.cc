#include "coalesce.h"

#include "checksum.h"

namespace ripstop {
namespace {

constexpr uint8_t kPsh = 0x08;
constexpr uint8_t kAck = 0x10;

uint32_t PayloadSize(const Layers& layers) { return layers.end - layers.header; }

uint8_t PushFlag(const uint8_t* frame, const Layers& layers) {
  return layers.protocol == kTcp ? frame[layers.l4 + 13] & kPsh : 0;
}

// What the kernel compares in IP: addresses are the flow's business, these are the packet's.
bool SameNetworkHeader(const uint8_t* a, const uint8_t* b, const Layers& layers) {
  const uint8_t* x = a + layers.l3;
  const uint8_t* y = b + layers.l3;
  if (layers.version == 4) return x[1] == y[1] && x[8] == y[8] && (x[6] & 0x40) == (y[6] & 0x40);
  return Load32(x) == Load32(y) && x[7] == y[7];
}

// Acknowledgement, flags but PSH, window and every option byte (RFC 9293 3.1; tcp_gro_receive of the kernel).
bool SameTransportHeader(const uint8_t* a, const uint8_t* b, const Layers& layers) {
  const uint8_t* x = a + layers.l4;
  const uint8_t* y = b + layers.l4;
  if (Load32(x + 8) != Load32(y + 8)) return false;
  if (x[12] != y[12] || ((x[13] ^ y[13]) & ~kPsh) || Load16(x + 14) != Load16(y + 14)) return false;
  return memcmp(x + 20, y + 20, layers.header - layers.l4 - 20u) == 0;
}

bool Mergeable(const uint8_t* frame, const Layers& layers, uint32_t flags) {
  if (PayloadSize(layers) == 0) return false;
  if (layers.protocol == kUdp) return (flags & kMergeUdp) && Load16(frame + layers.l4 + 6) != 0;
  const uint8_t tcp_flags = frame[layers.l4 + 13];
  return (flags & kMergeTcp) && (tcp_flags & ~kPsh) == kAck;
}

}  // namespace

Checksum CheckSum(const uint8_t* frame, const Layers& layers, uint32_t flags) {
  const uint32_t length = layers.end - layers.l4;
  if (layers.version == 4 && Fold(Sum(frame + layers.l3, 20)) != 0xffff) return Checksum::kBad;
  const uint8_t* field = frame + layers.l4 + ChecksumOffset(layers.protocol);
  if (layers.protocol == kUdp && Load16(field) == 0) return layers.version == 4 ? Checksum::kAbsent : Checksum::kBad;
  const uint64_t pseudo = PseudoSum(frame, layers, length);
  const bool unfinished = Load16(field) == Fold(pseudo);
  if (unfinished && (flags & kAcceptUnfinished)) return Checksum::kUnfinished;
  if (Fold(pseudo + Sum(frame + layers.l4, length)) == 0xffff) return Checksum::kGood;
  return unfinished ? Checksum::kUnfinished : Checksum::kBad;
}

void StartRun(Run* run, uint8_t* frame, const Layers& layers, int32_t* descriptor) {
  run->layers = layers;
  run->frame = frame;
  run->segment = run->payload = PayloadSize(layers);
  run->next_sequence = layers.protocol == kTcp ? Big32(frame + layers.l4 + 4) + run->payload : 0;
  run->count = 1;
  run->closed = false;
  run->push = PushFlag(frame, layers);
  run->remote = run->unfinished = run->checked = (descriptor[kOffload] & kNeedsCsum) != 0;
  run->first = descriptor;
  run->pieces[0] = {frame + layers.header, run->payload};
  run->members[0] = descriptor;
}

bool SameFlow(const Run& run, const uint8_t* frame, const Layers& layers) {
  const Layers& own = run.layers;
  if (own.protocol != layers.protocol || own.version != layers.version || own.l3 != layers.l3) return false;
  if (Load32(run.frame + own.l4) != Load32(frame + layers.l4)) return false;  // ports
  const size_t offset = own.l3 + (own.version == 4 ? 12u : 8u);
  if (memcmp(run.frame + offset, frame + offset, own.version == 4 ? 8 : 32) != 0) return false;
  return memcmp(run.frame, frame, own.l3) == 0;
}

Merge TryMerge(Run* run, uint8_t* frame, const Layers& layers, int32_t* descriptor, uint32_t flags,
               bool* first_corrupt) {
  *first_corrupt = false;
  const Layers& own = run->layers;
  const uint32_t size = PayloadSize(layers);
  const bool remote = (descriptor[kOffload] & kNeedsCsum) != 0;
  if (run->closed || run->count == kRunMax || own.header != layers.header || run->remote != remote)
    return Merge::kRefused;
  if (!Mergeable(frame, layers, flags) || !Mergeable(run->frame, own, flags)) return Merge::kRefused;
  if (size > run->segment || own.header - own.l3 + run->payload + size > 65535) return Merge::kRefused;
  if (!SameNetworkHeader(run->frame, frame, layers)) return Merge::kRefused;
  if (layers.protocol == kTcp) {
    if (Big32(frame + layers.l4 + 4) != run->next_sequence) return Merge::kRefused;
    if (!SameTransportHeader(run->frame, frame, layers)) return Merge::kRefused;
  }
  // Merging vouches for the checksums: the kernel will not look at them again. The IPv4 header's is rebuilt, so it must
  // be right too; under remote checksum offload the outer UDP checksum has covered both.
  const auto acceptable = [flags](Checksum state) {
    return state == Checksum::kGood || (state == Checksum::kUnfinished && (flags & kAcceptUnfinished));
  };
  if (!run->checked) {
    if (!acceptable(CheckSum(run->frame, own, flags))) {
      *first_corrupt = true;
      return Merge::kRefused;
    }
    run->checked = true;
  }
  if (!remote && !acceptable(CheckSum(frame, layers, flags))) return Merge::kCorrupt;

  run->pieces[run->count] = {frame + layers.header, size};
  run->members[run->count] = descriptor;
  run->count++;
  run->payload += size;
  run->next_sequence += size;
  run->closed = size < run->segment;
  run->push |= PushFlag(frame, layers);
  return Merge::kJoined;
}

size_t BuildHeader(const Run& run, size_t vnet_size, uint32_t segment_hint, uint8_t* out) {
  const Layers& layers = run.layers;
  uint8_t* header = out + vnet_size;
  memset(out, 0, vnet_size);
  memcpy(header, run.frame, layers.header);
  const uint32_t segment = run.count > 1 ? run.segment : segment_hint;
  const bool superframe = segment != 0 && run.payload > segment;
  if (run.count == 1 && !superframe && !run.unfinished) return vnet_size + layers.header;

  VnetHeader vnet{};
  vnet.flags = kNeedsCsum;
  vnet.csum_start = layers.l4;
  vnet.csum_offset = ChecksumOffset(layers.protocol);
  vnet.hdr_len = layers.header;
  if (superframe) {
    vnet.gso_type = layers.protocol == kUdp ? kGsoUdp : layers.version == 4 ? kGsoTcp4 : kGsoTcp6;
    vnet.gso_size = static_cast<uint16_t>(segment);
  }
  memcpy(out, &vnet, vnet_size < sizeof vnet ? vnet_size : sizeof vnet);

  uint8_t* ip = header + layers.l3;
  uint8_t* l4 = header + layers.l4;
  const uint32_t length = layers.header - layers.l4 + run.payload;
  if (layers.version == 4) {
    StoreBig16(ip + 2, layers.header - layers.l3 + run.payload);
    Store16(ip + 10, 0);
    Store16(ip + 10, static_cast<uint16_t>(~Fold(Sum(ip, 20))));
  } else {
    StoreBig16(ip + 4, length);
  }
  if (layers.protocol == kUdp) StoreBig16(l4 + 4, length);
  if (layers.protocol == kTcp) l4[13] |= run.push;
  Store16(l4 + vnet.csum_offset, Fold(PseudoSum(header, layers, length)));
  return vnet_size + layers.header;
}

}  // namespace ripstop

#include "coalesce.h"

#include "checksum.h"

namespace ripstop {
namespace {

constexpr uint8_t kPsh = 0x08;
// First byte of the IPv4 flags and fragment offset.
constexpr uint8_t kReserved = 0x80;
constexpr uint8_t kDontFragment = 0x40;
constexpr uint8_t kAck = 0x10;

uint32_t PayloadSize(const HeaderOffsets& headers) { return headers.end - headers.payload; }

uint8_t PushFlag(const uint8_t* frame, const HeaderOffsets& headers) {
  return headers.protocol == kTcp ? frame[headers.l4 + 13] & kPsh : 0;
}

// What the kernel compares in IP: addresses are the flow's business, these are the packet's.
bool SameNetworkHeader(const uint8_t* a, const uint8_t* b, const HeaderOffsets& headers) {
  const uint8_t* x = a + headers.l3;
  const uint8_t* y = b + headers.l3;
  if (headers.version == 4) return x[1] == y[1] && x[8] == y[8] && x[6] == y[6];
  return Load32(x) == Load32(y) && x[7] == y[7];
}

uint16_t Identification(const uint8_t* frame, const HeaderOffsets& headers) {
  return headers.version == 4 ? Big16(frame + headers.l3 + 4) : 0;
}

// Whether the identification of the frame is the one that segmentation gives it when the run is cut again: it counts up, or
// it is the same in all frames, which only those with DF may have (RFC 6864; inet_gro_flush of the kernel).
bool ContinuesIdentification(const Run& run, const uint8_t* frame, const HeaderOffsets& headers, bool* fixed) {
  *fixed = run.fixed_id;
  if (headers.version != 4) return true;
  const uint16_t offset = static_cast<uint16_t>(Identification(frame, headers) - run.id);
  if (run.count == 1 && offset == 0 && (frame[headers.l3 + 6] & kDontFragment)) *fixed = true;
  return offset == (*fixed ? 0 : run.count);
}

// Acknowledgement, flags but PSH, window, urgent pointer and every option byte (RFC 9293 3.1; tcp_gro_receive of the
// kernel, which ignores an urgent pointer without URG).
bool SameTransportHeader(const uint8_t* a, const uint8_t* b, const HeaderOffsets& headers) {
  const uint8_t* x = a + headers.l4;
  const uint8_t* y = b + headers.l4;
  if (Load32(x + 8) != Load32(y + 8)) return false;
  if (x[12] != y[12] || ((x[13] ^ y[13]) & ~kPsh) || Load16(x + 14) != Load16(y + 14)) return false;
  if (Load16(x + 18) != Load16(y + 18)) return false;
  return memcmp(x + 20, y + 20, headers.payload - headers.l4 - 20u) == 0;
}

bool CanCoalesce(const uint8_t* frame, const HeaderOffsets& headers, uint32_t flags) {
  if (PayloadSize(headers) == 0) return false;
  if (headers.version == 4 && (frame[headers.l3 + 6] & kReserved)) return false;
  if (headers.protocol == kUdp) return (flags & kMergeUdp) && Load16(frame + headers.l4 + 6) != 0;
  const uint8_t tcp_flags = frame[headers.l4 + 13];
  return (flags & kMergeTcp) && (tcp_flags & ~kPsh) == kAck;
}

}  // namespace

Checksum CheckSum(const uint8_t* frame, const HeaderOffsets& headers, uint32_t flags) {
  const uint32_t length = headers.end - headers.l4;
  if (headers.version == 4 && Fold(Sum(frame + headers.l3, 20)) != 0xffff) return Checksum::kBad;
  const uint8_t* field = frame + headers.l4 + ChecksumOffset(headers.protocol);
  if (headers.protocol == kUdp && Load16(field) == 0) return headers.version == 4 ? Checksum::kAbsent : Checksum::kBad;
  const uint64_t pseudo = PseudoSum(frame, headers, length);
  const bool partial = Load16(field) == Fold(pseudo);
  if (partial && (flags & kAcceptPartial)) return Checksum::kPartial;
  if (Fold(pseudo + Sum(frame + headers.l4, length)) == 0xffff) return Checksum::kGood;
  return partial ? Checksum::kPartial : Checksum::kBad;
}

void StartRun(Run* run, uint8_t* frame, const HeaderOffsets& headers, int32_t* descriptor) {
  run->headers = headers;
  run->frame = frame;
  run->segment = run->payload = PayloadSize(headers);
  run->next_sequence = headers.protocol == kTcp ? Big32(frame + headers.l4 + 4) + run->payload : 0;
  run->count = 1;
  run->closed = false;
  run->id = Identification(frame, headers);
  run->fixed_id = false;
  run->push = PushFlag(frame, headers);
  run->remote = run->partial = run->checked = (descriptor[kOffload] & kNeedsCsum) != 0;
  run->first = descriptor;
  run->pieces[0] = {frame + headers.payload, run->payload};
  run->members[0] = descriptor;
}

bool SameFlow(const Run& run, const uint8_t* frame, const HeaderOffsets& headers) {
  const HeaderOffsets& own = run.headers;
  if (own.protocol != headers.protocol || own.version != headers.version || own.l3 != headers.l3) return false;
  if (Load32(run.frame + own.l4) != Load32(frame + headers.l4)) return false;  // ports
  const size_t offset = own.l3 + (own.version == 4 ? 12u : 8u);
  if (memcmp(run.frame + offset, frame + offset, own.version == 4 ? 8 : 32) != 0) return false;
  return memcmp(run.frame, frame, own.l3) == 0;
}

Merge TryMerge(Run* run, uint8_t* frame, const HeaderOffsets& headers, int32_t* descriptor, uint32_t flags,
               bool* first_corrupt) {
  *first_corrupt = false;
  const HeaderOffsets& own = run->headers;
  const uint32_t size = PayloadSize(headers);
  const bool remote = (descriptor[kOffload] & kNeedsCsum) != 0;
  if (run->closed || run->count == kRunMax || own.payload != headers.payload || run->remote != remote)
    return Merge::kRefused;
  if (!CanCoalesce(frame, headers, flags) || !CanCoalesce(run->frame, own, flags)) return Merge::kRefused;
  if (size > run->segment || own.payload - own.l3 + run->payload + size > 65535) return Merge::kRefused;
  if (!SameNetworkHeader(run->frame, frame, headers)) return Merge::kRefused;
  bool fixed_id;
  if (!ContinuesIdentification(*run, frame, headers, &fixed_id)) return Merge::kRefused;
  if (headers.protocol == kTcp) {
    if (Big32(frame + headers.l4 + 4) != run->next_sequence) return Merge::kRefused;
    if (!SameTransportHeader(run->frame, frame, headers)) return Merge::kRefused;
  }
  // The kernel does not verify the checksums of a merged packet, so they are verified here. The one of the IPv4 header
  // is rebuilt, so it must be right too; under remote checksum offload the outer UDP checksum has covered both.
  const auto acceptable = [flags](Checksum state) {
    return state == Checksum::kGood || (state == Checksum::kPartial && (flags & kAcceptPartial));
  };
  if (!run->checked) {
    if (!acceptable(CheckSum(run->frame, own, flags))) {
      *first_corrupt = true;
      return Merge::kRefused;
    }
    run->checked = true;
  }
  if (!remote && !acceptable(CheckSum(frame, headers, flags))) return Merge::kCorrupt;

  run->pieces[run->count] = {frame + headers.payload, size};
  run->members[run->count] = descriptor;
  run->count++;
  run->fixed_id = fixed_id;
  run->payload += size;
  run->next_sequence += size;
  run->closed = size < run->segment;
  run->push |= PushFlag(frame, headers);
  return Merge::kJoined;
}

size_t BuildHeader(const Run& run, uint32_t segment_hint, uint8_t* out) {
  const HeaderOffsets& headers = run.headers;
  VnetHeader vnet{};
  uint8_t* header = out + sizeof vnet;
  memset(out, 0, sizeof vnet);
  memcpy(header, run.frame, headers.payload);
  const uint32_t segment = run.count > 1 ? run.segment : segment_hint;
  const bool is_gso = segment != 0 && run.payload > segment;
  if (run.count == 1 && !is_gso && !run.partial) return sizeof vnet + headers.payload;

  vnet.flags = kNeedsCsum;
  vnet.csum_start = headers.l4;
  vnet.csum_offset = ChecksumOffset(headers.protocol);
  vnet.hdr_len = headers.payload;
  if (is_gso) {
    vnet.gso_type = headers.protocol == kUdp ? kGsoUdp : headers.version == 4 ? kGsoTcp4 : kGsoTcp6;
    vnet.gso_size = static_cast<uint16_t>(segment);
  }
  memcpy(out, &vnet, sizeof vnet);

  uint8_t* ip = header + headers.l3;
  uint8_t* l4 = header + headers.l4;
  const uint32_t length = headers.payload - headers.l4 + run.payload;
  if (headers.version == 4) {
    StoreBig16(ip + 2, headers.payload - headers.l3 + run.payload);
    Store16(ip + 10, 0);
    Store16(ip + 10, static_cast<uint16_t>(~Fold(Sum(ip, 20))));
  } else {
    StoreBig16(ip + 4, length);
  }
  if (headers.protocol == kUdp) StoreBig16(l4 + 4, length);
  if (headers.protocol == kTcp) l4[13] |= run.push;
  Store16(l4 + vnet.csum_offset, Fold(PseudoSum(header, headers, length)));
  return sizeof vnet + headers.payload;
}

}  // namespace ripstop

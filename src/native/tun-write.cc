// TUN and TAP queues: writing, merged into GSO packets. The device takes one packet per write.
#include <sys/uio.h>

#include <cerrno>
#include <cstring>

#include "call.h"
#include "constants.h"
#include "environment.h"
#include "offload/checksum.h"
#include "offload/coalesce.h"
#include "offload/segment.h"

namespace ripstop {

// The writes of one batch: open runs, and where their outcome is counted.
class FrameWriter {
 public:
  void Begin(int fd, uint32_t flags, uint32_t mtu, uint32_t segment_mtu, int32_t* stats) {
    fd_ = fd;
    flags_ = flags;
    mtu_ = mtu;
    segment_mtu_ = segment_mtu;
    stats_ = stats;
    open_ = last_ = refused_ = 0;
  }

  // Merges the frame into the open run of its flow, or starts one.
  void Add(uint8_t* frame, int32_t* descriptor) {
    const size_t size = static_cast<size_t>(descriptor[kLength]);
    HeaderOffsets headers;
    if (!ParseHeaders(frame, size, static_cast<size_t>(descriptor[kL3]), &headers) || headers.payload > kHeaderMax ||
        !Agrees(descriptor, headers))
      return WritePlain(frame, descriptor, size);
    if ((flags_ & (kMergeTcp | kMergeUdp)) == 0) {
      StartRun(&runs_[0], frame, headers, descriptor);
      return Flush(&runs_[0]);
    }
    uint32_t slot = open_;
    if (last_ < open_ && SameFlow(runs_[last_], frame, headers)) {
      slot = last_;
    } else {
      for (uint32_t i = 0; i < open_ && slot == open_; i++)
        if (SameFlow(runs_[i], frame, headers)) slot = i;
    }
    if (slot < open_) {
      bool first_corrupt;
      const Merge merge = TryMerge(&runs_[slot], frame, headers, descriptor, flags_, &first_corrupt);
      if (merge == Merge::kJoined) {
        last_ = slot;
        return;
      }
      if (merge == Merge::kCorrupt) return Refuse(descriptor, kBadChecksum, 0);
      if (first_corrupt) Refuse(runs_[slot].first, kBadChecksum, 0);
      else Flush(&runs_[slot]);  // first, so that a flow never overtakes itself
    } else if (open_ == kFlowMax) {
      slot = 0;
      Flush(&runs_[0]);
    } else {
      open_++;
    }
    StartRun(&runs_[slot], frame, headers, descriptor);
    // The kernel cuts it, by a segment size of its own.
    if (ExceedsMtu(headers) || descriptor[kGsoSize] > 0) runs_[slot].closed = true;
    last_ = slot;
  }

  void FlushAll() {
    for (uint32_t i = 0; i < open_; i++) Flush(&runs_[i]);
    open_ = 0;
  }

  void Refuse(int32_t* descriptor, Verdict verdict, int error) {
    descriptor[kVerdict] = verdict;
    descriptor[kError] = error;
    refused_++;
  }

  uint32_t refused() const { return refused_; }

 private:
  int Write(const iovec* pieces, int count) {
    stats_[kStatCalls]++;
    ssize_t written;
    do written = writev(fd_, pieces, count);
    while (written < 0 && errno == EINTR);
    return written < 0 ? errno : 0;
  }

  // A frame as it came: what cannot be merged, and what remains when a GSO packet is refused. A checksum that its
  // sender left partial is the kernel's to finish.
  void WritePlain(uint8_t* frame, int32_t* descriptor, size_t size) {
    VnetHeader vnet{};
    if (descriptor[kOffload] & kNeedsCsum) {
      vnet.flags = kNeedsCsum;
      vnet.csum_start = static_cast<uint16_t>(descriptor[kCsumStart]);
      vnet.csum_offset = static_cast<uint16_t>(descriptor[kCsumOffset]);
    }
    const iovec pieces[2] = {{&vnet, sizeof vnet}, {frame, size}};
    const int error = Write(pieces, 2);
    stats_[kStatUnits]++;
    descriptor[kSegments] = 1;
    if (error != 0) Refuse(descriptor, kWriteFailed, error);
  }

  // A local kernel peer handed over its GSO packet whole.
  bool ExceedsMtu(const HeaderOffsets& headers) const { return headers.end - headers.l3 > mtu_; }

  // Segment size for a lone frame that is a GSO packet: one of UDP says it, one of TCP exceeds the device's MTU.
  uint32_t SegmentHint(const Run& run) const {
    if (run.count > 1) return 0;
    if (run.headers.protocol == kUdp) return static_cast<uint32_t>(run.first[kGsoSize]);
    if (!ExceedsMtu(run.headers)) return 0;
    const uint32_t headers = run.headers.payload - run.headers.l3;
    return segment_mtu_ > headers ? segment_mtu_ - headers : 1;
  }

  void Flush(Run* run) {
    const uint32_t hint = SegmentHint(*run);
    if (run->count == 1) {
      if (!run->checked && !CheckLone(run, hint)) return;
      if (hint == 0 && !run->partial) return WritePlain(run->frame, run->first, run->headers.end);
      if (run->headers.protocol == kUdp && hint > 0 && !(flags_ & kMergeUdp)) return WriteSegments(run, hint);
    }
    uint8_t merged[kHeaderMax + sizeof(VnetHeader)];
    const size_t size = BuildHeader(*run, hint, merged);
    iovec pieces[kRunMax + 1];
    pieces[0] = {merged, size};
    memcpy(pieces + 1, run->pieces, run->count * sizeof(iovec));
    const int error = Write(pieces, static_cast<int>(run->count) + 1);
    if (error == EINVAL && run->count == 1 && run->headers.protocol == kUdp && hint > 0) {
      stats_[kStatFallbacks]++;
      return WriteSegments(run, hint);
    }
    if (error == EINVAL && run->count > 1) {
      stats_[kStatFallbacks]++;
      for (uint32_t i = 0; i < run->count; i++) {
        uint8_t* frame = static_cast<uint8_t*>(run->pieces[i].iov_base) - run->headers.payload;
        WritePlain(frame, run->members[i], run->headers.payload + run->pieces[i].iov_len);
      }
      return;
    }
    stats_[kStatUnits]++;
    stats_[kStatMerged] += static_cast<int32_t>(run->count) - 1;
    run->first[kSegments] = static_cast<int32_t>(run->count);
    if (error == 0) return;
    for (uint32_t i = 0; i < run->count; i++) Refuse(run->members[i], kWriteFailed, error);
  }

  // A UDP GSO packet for a device that takes none (Linux before 6.2, or merging is switched off): datagram by datagram.
  void WriteSegments(Run* run, uint32_t segment) {
    const HeaderOffsets& headers = run->headers;
    const GsoPacket packet{run->frame, headers.end, headers.l3, kGsoUdp, segment, headers.l4};
    SegmentPlan plan;
    if (!PlanSegments(packet, &plan)) return Refuse(run->first, kWriteFailed, EINVAL);
    int failed = 0;
    for (uint32_t i = 0; i < plan.count; i++) {
      VnetHeader vnet{};
      uint8_t header[kSegmentHeaderMax];
      uint32_t size = 0;
      uint8_t* payload = const_cast<uint8_t*>(MakeSegment(plan, i, header, &size, false));
      const iovec pieces[3] = {{&vnet, sizeof vnet}, {header, plan.header}, {payload, size}};
      const int error = Write(pieces, 3);
      stats_[kStatUnits]++;
      if (error != 0) failed = error;
    }
    run->first[kSegments] = static_cast<int32_t>(plan.count);
    if (failed != 0) Refuse(run->first, kWriteFailed, failed);
  }

  // Whether a lone frame passes by its checksum. The receiving kernel verifies a complete one. A partial one is judged
  // and counted here, because the pod would drop the frame silently.
  bool CheckLone(Run* run, uint32_t hint) {
    const uint8_t* field = run->frame + run->headers.l4 + ChecksumOffset(run->headers.protocol);
    const uint32_t length = run->headers.end - run->headers.l4;
    if (hint == 0 && Load16(field) != Fold(PseudoSum(run->frame, run->headers, length))) return true;
    const Checksum state = CheckSum(run->frame, run->headers, flags_);
    run->partial = state == Checksum::kPartial;
    if (state == Checksum::kGood || state == Checksum::kAbsent) return true;
    if (run->partial && (flags_ & kAcceptPartial)) return true;
    Refuse(run->first, kBadChecksum, 0);
    return false;
  }

  // Whether a partial checksum is the one that the packet has, where its sender says that it is.
  static bool Agrees(const int32_t* descriptor, const HeaderOffsets& headers) {
    return !(descriptor[kOffload] & kNeedsCsum) ||
           (descriptor[kCsumStart] == headers.l4 && descriptor[kCsumOffset] == ChecksumOffset(headers.protocol));
  }

  int fd_;
  uint32_t flags_;
  uint32_t mtu_;
  uint32_t segment_mtu_;  // largest packet into which a GSO packet of a kernel peer is cut
  int32_t* stats_;
  uint32_t open_;
  uint32_t last_;  // run that took the last frame: mostly the one for the next
  uint32_t refused_;
  Run runs_[kFlowMax];
};

// tunWrite(fd, slab, table, count, flags, mtu, segmentMtu, stats) -> frames refused, or -errno
// A GSO packet that a kernel peer handed over whole is cut to `segmentMtu`: its segments may have to pass a smaller device
// behind this one.
// Writes the FORWARD frames of 0..count-1; a refused frame gets another VERDICT and its ERROR. Syscall: writev.
napi_value TunWrite(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t slab_size, table_size, stats_size;
  const int fd = call.Fd(0);
  uint8_t* slab = call.Bytes(1, &slab_size);
  int32_t* table = call.Ints(2, &table_size);
  const size_t count = call.Uint(3);
  const uint32_t flags = call.Uint(4, kMergeTcp | kMergeUdp | kAcceptPartial);
  const uint32_t mtu = static_cast<uint32_t>(call.Int(5, kMtuMin, kMtuMax));
  const uint32_t segment_mtu = static_cast<uint32_t>(call.Int(6, kMtuMin, kMtuMax));
  int32_t* stats = call.Ints(7, &stats_size);
  call.Require(count <= table_size / kStride, 3, "at most the descriptors of argument 3");
  call.Require(stats_size >= kStatCount, 7, "an Int32Array with one element per statistic");
  if (!call.ok()) return nullptr;
  FrameWriter& writer = Environment::Of(env).writer.Get();
  writer.Begin(fd, flags, mtu, segment_mtu, stats);
  for (size_t i = 0; i < count; i++) {
    int32_t* descriptor = table + i * kStride;
    if (descriptor[kVerdict] != kForward) continue;
    const int64_t offset = descriptor[kOffset];
    const int64_t length = descriptor[kLength];
    if (offset < 0 || length <= 0 || offset + length > static_cast<int64_t>(slab_size)) {
      writer.Refuse(descriptor, kWriteFailed, EFAULT);
      continue;
    }
    writer.Add(slab + offset, descriptor);
  }
  writer.FlushAll();
  return call.Number(writer.refused());
}

}  // namespace ripstop

// TUN and TAP queues with the virtio-net header (linux/if_tun.h). One frame is one read or write: that is the device's
// rule; a GSO packet is how several packets share it.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "constants.h"
#include "call.h"
#include "offload/checksum.h"
#include "offload/coalesce.h"
#include "namespace-scope.h"
#include "wait.h"

namespace ripstop {

namespace {

// The kernel lets any user attach a queue to a device without owner and group. With them, a process needs that
// identity or CAP_NET_ADMIN (tun_not_capable, drivers/net/tun.c). No process has this one: (uid_t)-2, as -1 means
// none. Only the capability is left then, so that uid 0 of a container without it is refused as well.
constexpr unsigned long kNoIdentity = 0xFFFFFFFE;

// Syscalls: ioctl(TUNSETOWNER, TUNSETGROUP). EINVAL means a user namespace that does not map the identity (make_kuid);
// the device belongs to this process's own identity then.
bool SetOwner(int fd, const char** failed) {
  *failed = "ioctl(TUNSETOWNER)";
  if (ioctl(fd, TUNSETOWNER, kNoIdentity) < 0 &&
      (errno != EINVAL || ioctl(fd, TUNSETOWNER, static_cast<unsigned long>(geteuid())) < 0))
    return false;
  *failed = "ioctl(TUNSETGROUP)";
  if (ioctl(fd, TUNSETGROUP, kNoIdentity) < 0 &&
      (errno != EINVAL || ioctl(fd, TUNSETGROUP, static_cast<unsigned long>(getegid())) < 0))
    return false;
  *failed = nullptr;
  return true;
}

}  // namespace

// tunOpen(netns, name, flags, headerSize) -> fd
// One queue of the device `name` inside `netns`, which only CAP_NET_ADMIN can attach to from then on.
// Syscalls: setns, open, ioctl(TUNSETIFF, TUNSETOWNER, TUNSETGROUP, TUNSETVNETHDRSZ).
// Capability: CAP_NET_ADMIN in the namespace's owner.
napi_value TunOpen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  char path[512];
  ifreq request{};
  if (!call.Text(0, path, sizeof path) || !call.Text(1, request.ifr_name, IFNAMSIZ)) return nullptr;
  request.ifr_flags = static_cast<short>(call.Int(2));
  int header = call.Int(3);
  NamespaceScope scope(path);
  if (scope.error()) return call.Throw(scope.error(), scope.syscall());
  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return call.Throw(errno, "open(/dev/net/tun)");
  const char* failed = nullptr;
  if (ioctl(fd, TUNSETIFF, &request) < 0) failed = "ioctl(TUNSETIFF)";
  else if (SetOwner(fd, &failed) && header != 0 && ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
    failed = "ioctl(TUNSETVNETHDRSZ)";
  if (failed == nullptr) return call.Number(fd);
  const int error = errno;
  close(fd);
  return call.Throw(error, failed);
}

// tunName(fd) -> name. Syscall: ioctl(TUNGETIFF).
napi_value TunName(napi_env env, napi_callback_info info) {
  Call call(env, info);
  ifreq request{};
  if (ioctl(call.Int(0), TUNGETIFF, &request) < 0) return call.Throw(errno, "ioctl(TUNGETIFF)");
  napi_value name = nullptr;
  napi_create_string_utf8(env, request.ifr_name, NAPI_AUTO_LENGTH, &name);
  return name;
}

// tunSetOwner(fd) -> 0 or -errno. For a device that another library opened; tunOpen does it itself.
// Syscalls: ioctl(TUNSETOWNER, TUNSETGROUP).
napi_value TunSetOwner(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const char* failed = nullptr;
  return call.Number(SetOwner(call.Int(0), &failed) ? 0 : -errno);
}

// tunSetOffload(fd, mask) -> 0 or -errno. Syscall: ioctl(TUNSETOFFLOAD).
napi_value TunSetOffload(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const unsigned long mask = call.Uint(1);
  return call.Number(ioctl(call.Int(0), TUNSETOFFLOAD, mask) < 0 ? -errno : 0);
}

// tunSetPersist(fd, on) -> 0 or -errno. Syscall: ioctl(TUNSETPERSIST).
napi_value TunSetPersist(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const unsigned long on = call.Uint(1);
  return call.Number(ioctl(call.Int(0), TUNSETPERSIST, on) < 0 ? -errno : 0);
}

// tunRead(fd, control, slab, table, max, headerSize, spinUs, timeoutMs) -> frames or -errno
// Drains the queue into the slab, frames packed one behind the other with headroom before each. While nothing has come
// it looks again for at most `spinUs` microseconds (AdaptivePoller), then waits. Syscalls: read, sched_yield, poll.
napi_value TunRead(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const int control = call.Int(1);
  size_t slab_size, table_size;
  uint8_t* slab = call.Bytes(2, &slab_size);
  int32_t* table = call.Ints(3, &table_size);
  const size_t max = call.Uint(4);
  const size_t header = call.Uint(5);
  AdaptivePoller poller(call.Int(6));
  int timeout_ms = call.Int(7);
  const size_t limit = max < table_size / kStride ? max : table_size / kStride;

  size_t count = 0;
  size_t cursor = 0;
  while (count < limit && cursor + kHeadroom + kFrameMax <= slab_size) {
    uint8_t* frame = slab + cursor + kHeadroom;
    const ssize_t got = read(fd, frame - header, kFrameMax + header);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return call.Number(count > 0 ? static_cast<double>(count) : -errno);
      if (count > 0) break;
      if (poller.ShouldSpin()) continue;
      if (timeout_ms == 0) break;
      const int ready = poller.Wait(fd, control, timeout_ms);
      if (ready <= 0) return call.Number(ready);
      timeout_ms = 0;
      continue;
    }
    if (static_cast<size_t>(got) <= header) continue;
    VnetHeader vnet{};
    if (header != 0) memcpy(&vnet, frame - header, header < sizeof vnet ? header : sizeof vnet);
    int32_t* descriptor = table + count * kStride;
    descriptor[kOffset] = static_cast<int32_t>(frame - slab);
    descriptor[kLength] = static_cast<int32_t>(static_cast<size_t>(got) - header);
    descriptor[kOffload] = vnet.flags | (vnet.gso_type << 8);
    descriptor[kGsoSize] = vnet.gso_size;
    descriptor[kCsumStart] = vnet.csum_start;
    descriptor[kCsumOffset] = vnet.csum_offset;
    descriptor[kVerdict] = kPending;
    descriptor[kError] = 0;
    descriptor[kSegments] = 0;
    count++;
    cursor = (cursor + kHeadroom + static_cast<size_t>(got) + 63) & ~static_cast<size_t>(63);
  }
  return call.Number(static_cast<double>(count));
}

namespace {

// The writes of one batch: open runs, and where their outcome is counted.
struct Writer {
  int fd;
  size_t header;
  uint32_t flags;
  uint32_t mtu;
  int32_t* stats;
  uint32_t open = 0;
  uint32_t last = 0;  // run that took the last frame: mostly the one for the next
  uint32_t refused = 0;
  Run runs[kFlowMax];

  void Refuse(int32_t* descriptor, Verdict verdict, int error) {
    descriptor[kVerdict] = verdict;
    descriptor[kError] = error;
    refused++;
  }

  int Write(const iovec* pieces, int count) {
    stats[kStatCalls]++;
    ssize_t written;
    do written = writev(fd, pieces, count);
    while (written < 0 && errno == EINTR);
    return written < 0 ? errno : 0;
  }

  // A frame as it came: what cannot be merged, and what remains when a GSO packet is refused. A checksum that its sender
  // left open is the kernel's to finish.
  void WritePlain(uint8_t* frame, int32_t* descriptor, size_t size) {
    VnetHeader vnet{};
    if (descriptor[kOffload] & kNeedsCsum) {
      vnet.flags = kNeedsCsum;
      vnet.csum_start = static_cast<uint16_t>(descriptor[kCsumStart]);
      vnet.csum_offset = static_cast<uint16_t>(descriptor[kCsumOffset]);
    }
    const iovec pieces[2] = {{&vnet, header}, {frame, size}};
    const int error = Write(pieces, 2);
    stats[kStatUnits]++;
    descriptor[kSegments] = 1;
    if (error != 0) Refuse(descriptor, kWriteFailed, error);
  }

  // A local kernel peer handed over its GSO packet whole.
  bool ExceedsMtu(const HeaderOffsets& headers) const { return headers.end - headers.l3 > mtu; }

  // Segment size for a lone frame that exceeds the device's MTU.
  uint32_t SegmentHint(const Run& run) const {
    if (run.count > 1 || !ExceedsMtu(run.headers) || run.headers.protocol != kTcp) return 0;
    return mtu - (run.headers.payload - run.headers.l3);
  }

  void Flush(Run* run) {
    const uint32_t hint = SegmentHint(*run);
    if (run->count == 1) {
      if (!run->checked && !CheckLone(run, hint)) return;
      if (hint == 0 && !run->partial) return WritePlain(run->frame, run->first, run->headers.end);
    }
    uint8_t merged[kHeaderMax + sizeof(VnetHeader)];
    const size_t size = BuildHeader(*run, header, hint, merged);
    iovec pieces[kRunMax + 1];
    pieces[0] = {merged, size};
    memcpy(pieces + 1, run->pieces, run->count * sizeof(iovec));
    const int error = Write(pieces, static_cast<int>(run->count) + 1);
    if (error == EINVAL && run->count > 1) {
      stats[kStatFallbacks]++;
      for (uint32_t i = 0; i < run->count; i++) {
        uint8_t* frame = static_cast<uint8_t*>(run->pieces[i].iov_base) - run->headers.payload;
        WritePlain(frame, run->members[i], run->headers.payload + run->pieces[i].iov_len);
      }
      return;
    }
    stats[kStatUnits]++;
    stats[kStatMerged] += static_cast<int32_t>(run->count) - 1;
    run->first[kSegments] = static_cast<int32_t>(run->count);
    if (error == 0) return;
    for (uint32_t i = 0; i < run->count; i++) Refuse(run->members[i], kWriteFailed, error);
  }

  // Whether a lone frame may pass, as far as its checksum says. A plain one is the receiving kernel's to verify,
  // unless the checksum is partial: the pod would drop that in silence, so its fate is decided and counted here.
  bool CheckLone(Run* run, uint32_t hint) {
    const uint8_t* field = run->frame + run->headers.l4 + ChecksumOffset(run->headers.protocol);
    const uint32_t length = run->headers.end - run->headers.l4;
    if (hint == 0 && Load16(field) != Fold(PseudoSum(run->frame, run->headers, length)))
      return true;
    const Checksum state = CheckSum(run->frame, run->headers, flags);
    run->partial = state == Checksum::kPartial;
    if (state == Checksum::kGood || state == Checksum::kAbsent) return true;
    if (run->partial && (flags & kAcceptPartial)) return true;
    Refuse(run->first, kBadChecksum, 0);
    return false;
  }

  // Whether an open checksum is the one that the packet has, where its sender says that it is.
  static bool Agrees(const int32_t* descriptor, const HeaderOffsets& headers) {
    return !(descriptor[kOffload] & kNeedsCsum) ||
           (descriptor[kCsumStart] == headers.l4 && descriptor[kCsumOffset] == ChecksumOffset(headers.protocol));
  }

  void Add(uint8_t* frame, int32_t* descriptor) {
    const size_t size = static_cast<size_t>(descriptor[kLength]);
    HeaderOffsets headers;
    if (!ParseHeaders(frame, size, static_cast<size_t>(descriptor[kL3]), &headers) || headers.payload > kHeaderMax ||
        !Agrees(descriptor, headers))
      return WritePlain(frame, descriptor, size);
    if ((flags & (kMergeTcp | kMergeUdp)) == 0) {
      StartRun(&runs[0], frame, headers, descriptor);
      return Flush(&runs[0]);
    }
    uint32_t slot = open;
    if (last < open && SameFlow(runs[last], frame, headers)) {
      slot = last;
    } else {
      for (uint32_t i = 0; i < open && slot == open; i++)
        if (SameFlow(runs[i], frame, headers)) slot = i;
    }
    if (slot < open) {
      bool first_corrupt;
      const Merge merge = TryMerge(&runs[slot], frame, headers, descriptor, flags, &first_corrupt);
      if (merge == Merge::kJoined) {
        last = slot;
        return;
      }
      if (merge == Merge::kCorrupt) return Refuse(descriptor, kBadChecksum, 0);
      if (first_corrupt) Refuse(runs[slot].first, kBadChecksum, 0);
      else Flush(&runs[slot]);  // first, so that a flow never overtakes itself
    } else if (open == kFlowMax) {
      slot = 0;
      Flush(&runs[0]);
    } else {
      open++;
    }
    StartRun(&runs[slot], frame, headers, descriptor);
    if (ExceedsMtu(headers)) runs[slot].closed = true;  // the kernel cuts it, by a segment size of its own
    last = slot;
  }

  void FlushAll() {
    for (uint32_t i = 0; i < open; i++) Flush(&runs[i]);
    open = 0;
  }
};

}  // namespace

// tunWrite(fd, slab, table, count, headerSize, flags, mtu, stats) -> frames refused, or -errno
// Writes the FORWARD frames of 0..count-1; a refusal is told in VERDICT and ERROR of the frame. Syscall: writev.
napi_value TunWrite(napi_env env, napi_callback_info info) {
  static thread_local Writer scratch;
  Writer& writer = scratch;  // one look-up of the thread's own
  Call call(env, info);
  size_t slab_size, table_size, stats_size;
  writer.fd = call.Int(0);
  uint8_t* slab = call.Bytes(1, &slab_size);
  int32_t* table = call.Ints(2, &table_size);
  size_t count = call.Uint(3);
  writer.header = call.Uint(4);
  writer.flags = call.Uint(5);
  writer.mtu = call.Uint(6);
  writer.stats = call.Ints(7, &stats_size);
  writer.open = writer.last = writer.refused = 0;
  if (stats_size < kStatCount || writer.header > sizeof(VnetHeader)) return call.Number(-EINVAL);
  if (count > table_size / kStride) count = table_size / kStride;
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
  return call.Number(writer.refused);
}

}  // namespace ripstop

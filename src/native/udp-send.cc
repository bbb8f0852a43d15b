// Sending: frames become datagrams, datagrams of one size to one peer share a message (UDP_SEGMENT), messages share a
// system call (sendmmsg). Payload is never copied here: a datagram is a header block and a slice of its GSO packet.
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "address.h"
#include "call.h"
#include "constants.h"
#include "environment.h"
#include "offload/checksum.h"
#include "offload/segment.h"

namespace ripstop {
namespace {

constexpr uint32_t kMessages = 64;
constexpr uint32_t kBuckets = 128;            // open messages that are remembered
constexpr int kSegmentsMax = 128;             // UDP_MAX_SEGMENTS since Linux 6.9
constexpr uint32_t kBytes4 = 65535 - 20 - 8;  // UDP payload of one message
constexpr uint32_t kBytes6 = 65535 - 40 - 8;
constexpr size_t kArena = 256 * 1024;  // header blocks of one flush
constexpr uint32_t kPrefixMax = 8;     // bytes of an encapsulation header in a peer record

// Remote checksum offload in the VXLAN header, as the kernel's driver has it (include/net/vxlan.h, VXLAN_HF_RCO): a
// flag in the first word, and in the last byte where the checksum begins, in units of two bytes, and whether it is
// UDP's.
constexpr uint8_t kRemoteFlag = 0x20;
constexpr uint8_t kRemoteUdp = 0x80;
constexpr int32_t kRemoteStartMax = 254;

// That last byte for a frame with a partial checksum; 0 when the checksum is complete or its position does not fit.
uint8_t RemoteChecksum(const int32_t* descriptor) {
  const int32_t start = descriptor[kCsumStart];
  const int32_t offset = descriptor[kCsumOffset];
  if (!(descriptor[kOffload] & kNeedsCsum) || (start & 1) || start <= 0 || start > kRemoteStartMax) return 0;
  if (offset != 6 && offset != 16) return 0;
  return static_cast<uint8_t>((start >> 1) | (offset == 6 ? kRemoteUdp : 0));
}

void WritePrefix(uint8_t* prefix, const int32_t* record, uint32_t size, uint8_t remote) {
  memcpy(prefix, record + kPeerHeader, size);
  if (remote == 0) return;
  prefix[1] |= kRemoteFlag;
  prefix[7] = remote;
}

// Where the datagrams of a frame are in their messages, for captures: the kernel numbers the datagrams of a message in the
// identification of IPv4. -1: they went one by one. Otherwise four numbers of seven bits: place of the first datagram, datagrams
// in its message less one, datagrams in each further message less one, place of the last datagram.
constexpr int kPlaceBits = 7;
constexpr int32_t kPlaceMask = (1 << kPlaceBits) - 1;
static_assert(kSegmentsMax <= kPlaceMask + 1, "a place has seven bits");

// What DESC_SOCKET says: the sending socket, and the traffic class of the outer header.
constexpr int32_t SocketOf(int32_t field) { return field & 0xff; }
constexpr int TrafficClassOf(int32_t field) { return field >> 8; }
constexpr int kTrafficClassMax = 0xff;
static_assert(kSocketsMax <= 0x100, "a socket has eight bits");

struct Message {
  int32_t peer;
  int32_t socket;  // as DESC_SOCKET: only datagrams of one traffic class share a message
  int32_t owner;  // frame that opened it
  uint32_t size;  // bytes of every datagram but the last
  uint32_t bytes;
  uint32_t datagrams;
  uint32_t pieces;
  bool closed;  // a shorter datagram ended it
  iovec iov[2 * kSegmentsMax];
};

}  // namespace

// The C libraries do not agree on the type of msg_iovlen.
using MessageCount = decltype(msghdr::msg_iovlen);

// sendmmsg(2). The one of musl makes a system call per message, since its structures may have padding that is not zero;
// Describe() sets all of it to zero.
int SendMessages(int fd, mmsghdr* messages, uint32_t count) {
#ifdef __GLIBC__
  return sendmmsg(fd, messages, count, 0);
#else
  return static_cast<int>(syscall(SYS_sendmmsg, fd, messages, count, 0));
#endif
}

// The messages of one batch. Of several hundred KB: allocated once per environment.
class Sender {
 public:
  void Begin(const int32_t* sockets, size_t socket_count, int32_t* table, size_t count, const int32_t* peers,
             size_t peer_count, uint32_t max_segments, int32_t* stats) {
    sockets_ = sockets;
    socket_count_ = socket_count;
    table_ = table;
    count_ = count;
    peers_ = peers;
    peer_count_ = peer_count;
    max_segments_ = max_segments;
    stats_ = stats;
    refused_ = 0;
    base_ = 0;
    used_ = 0;
    Reset();
  }

  void Add(uint8_t* slab, size_t slab_size, int32_t index) {
    int32_t* descriptor = table_ + index * kStride;
    const int32_t peer = descriptor[kPeer];
    const int32_t socket = descriptor[kSocket];
    const int64_t offset = descriptor[kOffset];
    const int64_t length = descriptor[kLength];
    if (peer < 0 || static_cast<size_t>(peer) >= peer_count_ || socket < 0 ||
        static_cast<size_t>(SocketOf(socket)) >= socket_count_ || TrafficClassOf(socket) > kTrafficClassMax ||
        offset < kHeadroom || length <= 0 || offset + length > static_cast<int64_t>(slab_size)) {
      return Refuse(descriptor, kSendFailed, EFAULT);
    }
    const int32_t* record = peers_ + peer * kPeerStride;
    const uint32_t prefix = std::min(static_cast<uint32_t>(record[kPeerHeaderBytes]), kPrefixMax);
    uint8_t* frame = slab + offset;
    const uint32_t size = static_cast<uint32_t>(length);
    const uint8_t gso_type = static_cast<uint8_t>(descriptor[kOffload] >> 8) & static_cast<uint8_t>(~kGsoEcn);
    descriptor[kFirstMessage] = -1;
    descriptor[kSegments] = 0;
    descriptor[kPlaces] = 0;
    // The peer completes the partial inner checksum itself, so the payload is not summed here.
    const bool agreed = record[kPeerRemoteChecksum] != 0 && prefix == kPrefixMax;
    const uint8_t remote = agreed ? RemoteChecksum(descriptor) : 0;
    if (gso_type == 0) {
      if (remote == 0 && (descriptor[kOffload] & kNeedsCsum) &&
          !FinishChecksum(frame, size, static_cast<uint32_t>(descriptor[kCsumStart]),
                          static_cast<uint32_t>(descriptor[kCsumOffset])))
        return Refuse(descriptor, kEgressMalformed, 0);
      if (remote == 0) descriptor[kOffload] = 0;
      WritePrefix(frame - prefix, record, prefix, remote);
      const iovec whole[1] = {{frame - prefix, prefix + size}};
      Append(index, whole, 1, prefix + size);
      return;
    }
    const GsoPacket packet{frame,
                           size,
                           static_cast<uint32_t>(descriptor[kL3]),
                           gso_type,
                           static_cast<uint32_t>(descriptor[kGsoSize]),
                           static_cast<uint32_t>(descriptor[kCsumStart])};
    SegmentPlan plan;
    if (!PlanSegments(packet, &plan)) return Refuse(descriptor, kEgressMalformed, 0);
    // At its begin rather than within: then a message of this frame ends only where the next datagram does not fit.
    const size_t block = (prefix + plan.header + 15) & ~15u;
    if (arena_used_ + plan.count * block > kArena) Flush();
    for (uint32_t i = 0; i < plan.count; i++) {
      if (arena_used_ + prefix + plan.header > kArena) Flush();
      uint8_t* header = arena_ + arena_used_;
      WritePrefix(header, record, prefix, remote);
      uint32_t payload;
      const uint8_t* bytes = MakeSegment(plan, i, header + prefix, &payload, remote != 0);
      arena_used_ += block;
      const iovec pair[2] = {{header, prefix + plan.header}, {const_cast<uint8_t*>(bytes), payload}};
      Append(index, pair, 2, prefix + plan.header + payload);
    }
  }

  void Flush() {
    if (used_ == 0) return;
    for (uint32_t i = 0; i < used_; i++) Describe(i);
    uint32_t next = 0;
    while (next < used_) {
      uint32_t end = next + 1;
      const int32_t socket = SocketOf(messages_[next].socket);
      while (end < used_ && SocketOf(messages_[end].socket) == socket) end++;
      const int fd = sockets_[socket];
      stats_[kStatCalls]++;
      const int sent = SendMessages(fd, headers_ + next, end - next);
      const int error = errno;
      if (sent > 0) {
        for (int i = 0; i < sent; i++) Account(messages_[next + static_cast<uint32_t>(i)]);
        next += static_cast<uint32_t>(sent);
      } else if (error != EINTR) {
        Refused(next, error);
        next++;
      }
    }
    Reset();
  }

  uint32_t refused() const { return refused_; }

 private:
  void Refuse(int32_t* descriptor, Verdict verdict, int error) {
    descriptor[kVerdict] = verdict;
    descriptor[kError] = error;
    refused_++;
  }

  void Reset() {
    base_ += static_cast<int32_t>(used_);
    used_ = 0;
    arena_used_ = 0;
    memset(open_, 0xff, sizeof open_);
  }

  // Puts one datagram into the open message of its peer and socket, or into a new one.
  void Append(int32_t index, const iovec* pieces, uint32_t count, uint32_t size) {
    int32_t* descriptor = table_ + index * kStride;
    const int32_t peer = descriptor[kPeer];
    const int32_t socket = descriptor[kSocket];
    const int32_t* record = peers_ + peer * kPeerStride;
    const uint32_t room = record[kPeerFamily] == 6 ? kBytes6 : kBytes4;
    const bool alone = record[kPeerUnsegmented] != 0 || IsFragmenting(socket);
    // Frames of one flow share peer and socket and so a bucket, whatever their traffic class: a change of it opens another
    // message, which all that follow join, so that the flow keeps its order. Peers that collide only share fewer messages.
    int32_t& bucket = open_[(static_cast<uint32_t>(peer) * 31 + static_cast<uint32_t>(SocketOf(socket))) % kBuckets];
    int32_t slot = bucket;
    if (slot >= 0) {
      const Message& message = messages_[slot];
      if (message.peer != peer || message.socket != socket || message.closed || size > message.size ||
          message.datagrams >= max_segments_ || message.bytes + size > room || alone)
        slot = -1;
    }
    if (slot < 0) {
      if (used_ == kMessages) {
        const size_t keep = arena_used_;  // the header block in `pieces` has not been sent yet
        Flush();
        arena_used_ = keep;
      }
      slot = static_cast<int32_t>(used_++);
      Message& fresh = messages_[slot];
      fresh.peer = peer;
      fresh.socket = socket;
      fresh.owner = index;
      fresh.size = size;
      fresh.bytes = fresh.datagrams = fresh.pieces = 0;
      fresh.closed = false;
      bucket = slot;
    }
    Message& message = messages_[slot];
    for (uint32_t i = 0; i < count; i++) message.iov[message.pieces++] = pieces[i];
    message.bytes += size;
    message.datagrams++;
    if (size < message.size) message.closed = true;
    NotePlace(descriptor, base_ + slot, static_cast<int32_t>(message.datagrams) - 1, size == message.size);
    descriptor[kSegments]++;
  }

  // Notes the message of the next datagram of a frame, and its place there. `full`: its size is that of the message, so that
  // it tells how many fit.
  void NotePlace(int32_t* descriptor, int32_t message, int32_t place, bool full) {
    int32_t& places = descriptor[kPlaces];
    if (descriptor[kFirstMessage] < 0) {
      descriptor[kFirstMessage] = message;
      places = place;
    } else if (places >= 0) {
      constexpr int32_t further = kPlaceMask << 2 * kPlaceBits;
      if (descriptor[kFirstMessage] == message) places += 1 << kPlaceBits;
      else if (full) places = (places & ~further) | std::max(places & further, place << 2 * kPlaceBits);
    }
    if (places >= 0) places = (places & ~(kPlaceMask << 3 * kPlaceBits)) | place << 3 * kPlaceBits;
    descriptor[kLastMessage] = message;
  }

  // The last socket lets routers fragment. UDP_SEGMENT refuses what must be fragmented: its datagrams travel alone.
  bool IsFragmenting(int32_t socket) const { return static_cast<size_t>(SocketOf(socket)) + 1 == socket_count_; }

  void Describe(uint32_t slot) {
    Message& message = messages_[slot];
    const int32_t* record = peers_ + message.peer * kPeerStride;
    msghdr& header = headers_[slot].msg_hdr;
    header = {};
    sockaddr_storage& name = names_[slot];
    header.msg_namelen =
        ToSockaddr(&name, record[kPeerFamily] == 6, reinterpret_cast<const uint8_t*>(record + kPeerAddress),
                   static_cast<uint16_t>(record[kPeerPort]));
    header.msg_name = &name;
    header.msg_iov = message.iov;
    header.msg_iovlen = static_cast<MessageCount>(message.pieces);
    header.msg_control = controls_[slot];
    const int traffic_class = TrafficClassOf(message.socket);
    if (traffic_class != 0) {
      if (record[kPeerFamily] == 6) AddControl(&header, IPPROTO_IPV6, IPV6_TCLASS, traffic_class);
      else AddControl(&header, IPPROTO_IP, IP_TOS, traffic_class);
    }
    if (message.datagrams > 1) AddControl(&header, IPPROTO_UDP, UDP_SEGMENT, static_cast<uint16_t>(message.size));
    if (header.msg_controllen == 0) header.msg_control = nullptr;
  }

  // Appends a control message behind the `msg_controllen` bytes that there are.
  template <typename T>
  static void AddControl(msghdr* header, int level, int type, T value) {
    auto* item = reinterpret_cast<cmsghdr*>(static_cast<uint8_t*>(header->msg_control) + header->msg_controllen);
    *item = {};
    item->cmsg_level = level;
    item->cmsg_type = type;
    item->cmsg_len = CMSG_LEN(sizeof value);
    memcpy(CMSG_DATA(item), &value, sizeof value);
    header->msg_controllen += CMSG_SPACE(sizeof value);
  }

  void Account(const Message& message) {
    stats_[kStatUnits]++;
    stats_[kStatMerged] += static_cast<int32_t>(message.datagrams) - 1;
  }

  // A message that the kernel did not take. A refused offload (EIO: a device or an IPsec route that cannot; EINVAL: a
  // kernel with a lower limit) is sent datagram by datagram; any other error is recorded in its frames.
  void Refused(uint32_t slot, int error) {
    Message& message = messages_[slot];
    if (message.datagrams < 2 || (error != EIO && error != EINVAL)) return Fail(slot, error);
    msghdr single = headers_[slot].msg_hdr;
    single.msg_controllen -= CMSG_SPACE(sizeof(uint16_t));  // without UDP_SEGMENT, the last one
    int failed = 0;
    uint32_t taken = 0;
    for (uint32_t at = 0; at < message.pieces;) {
      uint32_t end = at;
      size_t bytes = 0;
      while (end < message.pieces && bytes < message.size) bytes += message.iov[end++].iov_len;
      single.msg_iov = message.iov + at;
      single.msg_iovlen = static_cast<MessageCount>(end - at);
      stats_[kStatCalls]++;
      if (sendmsg(sockets_[SocketOf(message.socket)], &single, 0) < 0) failed = errno;
      else taken++;
      at = end;
    }
    stats_[kStatUnits] += static_cast<int32_t>(taken);
    // Where no datagram passes alone either, the offload is not to blame: before Linux 6.13 a path that shrank is
    // EINVAL.
    if (taken > 0) stats_[kStatFallbacks]++;
    for (size_t i = 0; i < count_; i++)
      if (IsIn(table_ + i * kStride, slot)) table_[i * kStride + kPlaces] = -1;
    if (failed) Fail(slot, failed);
  }

  // Whether a frame has datagrams in an open message.
  bool IsIn(const int32_t* descriptor, uint32_t slot) const {
    const int32_t message = base_ + static_cast<int32_t>(slot);
    if (descriptor[kVerdict] != kForward || descriptor[kFirstMessage] < 0) return false;
    return descriptor[kFirstMessage] == message || descriptor[kLastMessage] == message ||
           table_ + messages_[slot].owner * kStride == descriptor;
  }

  void Fail(uint32_t slot, int error) {
    for (size_t i = 0; i < count_; i++)
      if (IsIn(table_ + i * kStride, slot))
        Refuse(table_ + i * kStride, error == EMSGSIZE ? kTooBig : kSendFailed, error);
  }

  const int32_t* sockets_;
  size_t socket_count_;
  int32_t* table_;
  size_t count_;
  const int32_t* peers_;
  size_t peer_count_;
  uint32_t max_segments_;
  int32_t* stats_;
  uint32_t refused_;
  int32_t base_;  // messages of earlier flushes: numbers in descriptors never repeat within a batch
  uint32_t used_;
  size_t arena_used_;
  int32_t open_[kBuckets];  // message that the next datagram of a bucket may join
  Message messages_[kMessages];
  mmsghdr headers_[kMessages];
  sockaddr_storage names_[kMessages];
  alignas(cmsghdr) uint8_t controls_[kMessages][CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint16_t))];
  alignas(64) uint8_t arena_[kArena + kSegmentHeaderMax];
};

// udpSend(sockets, slab, table, count, peers, maxSegments, stats) -> frames refused, or -errno
// Sends the FORWARD frames of 0..count-1, each to its PEER from its SOCKET, whose bits 8..15 are the traffic class of the
// outer header; a refused frame gets another VERDICT and its ERROR.
// The last of `sockets` lets routers fragment. `maxSegments` 1 switches UDP_SEGMENT off. Blocks while the socket's
// buffer is full. Syscalls: sendmmsg, sendmsg.
napi_value UdpSend(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t socket_count, slab_size, table_size, peers_size, stats_size;
  const int32_t* sockets = call.Ints(0, &socket_count);
  uint8_t* slab = call.Bytes(1, &slab_size);
  int32_t* table = call.Ints(2, &table_size);
  const size_t count = call.Uint(3);
  const int32_t* peers = call.Ints(4, &peers_size);
  const uint32_t max_segments = static_cast<uint32_t>(call.Int(5, 1, kSegmentsMax));
  int32_t* stats = call.Ints(6, &stats_size);
  call.Require(socket_count >= 1 && socket_count <= kSocketsMax, 0, "an Int32Array of 1 to 128 descriptors");
  call.Require(count <= table_size / kStride, 3, "at most the descriptors of argument 3");
  call.Require(stats_size >= kStatCount, 6, "an Int32Array with one element per statistic");
  if (!call.ok()) return nullptr;
  Sender& sender = Environment::Of(env).sender.Get();
  sender.Begin(sockets, socket_count, table, count, peers, peers_size / kPeerStride, max_segments, stats);
  for (size_t i = 0; i < count; i++)
    if (table[i * kStride + kVerdict] == kForward) sender.Add(slab, slab_size, static_cast<int32_t>(i));
  sender.Flush();
  return call.Number(sender.refused());
}

}  // namespace ripstop

// The export table: everything that JavaScript can call, and the numbers that both sides share.
#include <malloc.h>

#include "constants.h"
#include "environment.h"

namespace ripstop {

#define RIPSTOP_EXPORTS(X)          \
  X(tunOpen, TunOpen)               \
  X(tunFeatures, TunFeatures)       \
  X(tunFlags, TunFlags)             \
  X(tunName, TunName)               \
  X(tapCreate, TapCreate)           \
  X(tunSetOwner, TunSetOwner)       \
  X(tunSetOffload, TunSetOffload)   \
  X(tunSetPersist, TunSetPersist)   \
  X(tunSetSteering, TunSetSteering) \
  X(tunRead, TunRead)               \
  X(tunWrite, TunWrite)             \
  X(udpOpen, UdpOpen)               \
  X(udpProbe, UdpProbe)             \
  X(udpMemory, UdpMemory)           \
  X(udpPort, UdpPort)               \
  X(udpIgnorePathMtu, UdpIgnorePathMtu) \
  X(udpReportHeaders, UdpReportHeaders) \
  X(udpReportTimes, UdpReportTimes) \
  X(udpPathMtu, UdpPathMtu)         \
  X(udpReceive, UdpReceive)         \
  X(udpSend, UdpSend)               \
  X(rawOpen, RawOpen)               \
  X(rawSend, RawSend)               \
  X(echoOpen, EchoOpen)             \
  X(echoReceive, EchoReceive)       \
  X(busyPoll, BusyPoll)             \
  X(waitReadable, WaitReadable)     \
  X(eventOpen, EventOpen)           \
  X(eventSignal, EventSignal)       \
  X(eventClear, EventClear)         \
  X(threadPolicy, ThreadPolicy)     \
  X(wallClock, WallClock)           \
  X(clockError, ClockError)         \
  X(netlinkOpen, NetlinkOpen)       \
  X(netlinkSend, NetlinkSend)       \
  X(netlinkReceive, NetlinkReceive) \
  X(fileOpen, FileOpen)             \
  X(fileLock, FileLock)             \
  X(nftRun, NftRun)                 \
  X(packetOpen, PacketOpen)         \
  X(packetSend, PacketSend)         \
  X(packetReceive, PacketReceive)   \
  X(frameOpen, FrameOpen)           \
  X(captureOpen, CaptureOpen)       \
  X(captureRead, CaptureRead)       \
  X(captureFilter, CaptureFilter)   \
  X(captureStop, CaptureStop)       \
  X(captureStatistics, CaptureStatistics) \
  X(bpfMap, BpfMap)                 \
  X(bpfMapRead, BpfMapRead)         \
  X(bpfProgram, BpfProgram)         \
  X(closeFd, CloseFd)

// Every number that both languages use, by group. src/dataplane/io/check-addon-layout.ts compares them all at start-up.
#define RIPSTOP_CONSTANTS(X)                     \
  X(descriptor, OFFSET, kOffset)                 \
  X(descriptor, LENGTH, kLength)                 \
  X(descriptor, OFFLOAD, kOffload)               \
  X(descriptor, GSO_SIZE, kGsoSize)              \
  X(descriptor, CSUM_START, kCsumStart)          \
  X(descriptor, CSUM_OFFSET, kCsumOffset)        \
  X(descriptor, VERDICT, kVerdict)               \
  X(descriptor, PEER, kPeer)                     \
  X(descriptor, SOCKET, kSocket)                 \
  X(descriptor, SOURCE, kSource)                 \
  X(descriptor, SEGMENTS, kSegments)             \
  X(descriptor, ERROR, kError)                   \
  X(descriptor, L3, kL3)                         \
  X(descriptor, FLOW, kFlow)                     \
  X(descriptor, PLACES, kPlaces)                 \
  X(descriptor, STRIDE, kStride)                 \
  X(descriptor, HEADROOM, kHeadroom)             \
  X(descriptor, FRAME_MAX, kFrameMax)            \
  X(peer, FAMILY, kPeerFamily)                   \
  X(peer, PORT, kPeerPort)                       \
  X(peer, ADDRESS, kPeerAddress)                 \
  X(peer, HEADER_BYTES, kPeerHeaderBytes)        \
  X(peer, HEADER, kPeerHeader)                   \
  X(peer, UNSEGMENTED, kPeerUnsegmented)         \
  X(peer, REMOTE_CHECKSUM, kPeerRemoteChecksum)  \
  X(peer, STRIDE, kPeerStride)                   \
  X(source, ADDRESS, kSourceAddress)             \
  X(source, PORT, kSourcePort)                   \
  X(source, TRUNCATED, kSourceTruncated)         \
  X(source, BYTES, kSourceBytes)                 \
  X(source, HOP_LIMIT, kSourceHopLimit)          \
  X(source, FLOW_INFO, kSourceFlowInfo)          \
  X(source, SECONDS, kSourceSeconds)             \
  X(source, NANOSECONDS, kSourceNanoseconds)     \
  X(source, STRIDE, kSourceStride)               \
  X(verdict, PENDING, kPending)                  \
  X(verdict, FORWARD, kForward)                  \
  X(verdict, TOO_BIG, kTooBig)                   \
  X(verdict, EGRESS_MALFORMED, kEgressMalformed) \
  X(verdict, SEND_FAILED, kSendFailed)           \
  X(verdict, BAD_CHECKSUM, kBadChecksum)         \
  X(verdict, WRITE_FAILED, kWriteFailed)         \
  X(stat, CALLS, kStatCalls)                     \
  X(stat, UNITS, kStatUnits)                     \
  X(stat, MERGED, kStatMerged)                   \
  X(stat, FALLBACKS, kStatFallbacks)             \
  X(stat, COUNT, kStatCount)                     \
  X(udp, REUSE_PORT, kReusePort)                 \
  X(udp, RECEIVE_ONLY, kReceiveOnly)             \
  X(udp, DONT_FRAGMENT, kDontFragment)           \
  X(udp, IPV6, kIpv6)                            \
  X(udp, SOCKETS_MAX, kSocketsMax)               \
  X(udp, MESSAGES_MAX, kMessagesMax)             \
  X(tun, MERGE_TCP, kMergeTcp)                   \
  X(tun, MERGE_UDP, kMergeUdp)                   \
  X(tun, ACCEPT_PARTIAL, kAcceptPartial)         \
  X(tun, VNET_BYTES, sizeof(VnetHeader))         \
  X(wait, READY_FIRST, kReadyFirst)              \
  X(wait, READY_SECOND, kReadySecond)            \
  X(vnet, NEEDS_CHECKSUM, kNeedsCsum)            \
  X(vnet, GSO_TCPV4, kGsoTcp4)                   \
  X(vnet, GSO_TCPV6, kGsoTcp6)                   \
  X(vnet, GSO_UDP_L4, kGsoUdp)                   \
  X(vnet, GSO_ECN, kGsoEcn)                      \
  X(nft, LISTING, kNftListing)                   \
  X(nft, JSON, kNftJson)                         \
  X(nft, SCRIPT, kNftScript)                     \
  X(capture, OFFSET, kCapturedOffset)            \
  X(capture, BYTES, kCapturedBytes)              \
  X(capture, LENGTH, kCapturedLength)            \
  X(capture, OUTGOING, kCapturedOutgoing)        \
  X(capture, SECONDS, kCapturedSeconds)          \
  X(capture, NANOSECONDS, kCapturedNanoseconds)  \
  X(capture, OFFLOAD, kCapturedOffload)          \
  X(capture, GSO_SIZE, kCapturedGsoSize)         \
  X(capture, CSUM_START, kCapturedCsumStart)     \
  X(capture, CSUM_OFFSET, kCapturedCsumOffset)   \
  X(capture, STRIDE, kCapturedStride)

#define DECLARE(name, function) napi_value function(napi_env, napi_callback_info);
RIPSTOP_EXPORTS(DECLARE)
#undef DECLARE

static void AddConstant(napi_env env, napi_value constants, const char* group, const char* name, int32_t number) {
  bool exists = false;
  napi_has_named_property(env, constants, group, &exists);
  napi_value members, value;
  if (exists) {
    napi_get_named_property(env, constants, group, &members);
  } else {
    napi_create_object(env, &members);
    napi_set_named_property(env, constants, group, members);
  }
  napi_create_int32(env, number, &value);
  napi_set_named_property(env, members, name, value);
}

/*
 * glibc raises the size from which blocks get pages of their own to that of the largest one that was freed. The rings and
 * tables of a data plane (4 MiB each) then come out of the heap: what the heap has in their place is cleared, so that all
 * of them become resident, and a small block behind them keeps them there after their release. A size that is set stays.
 * musl always maps large blocks.
 */
static void KeepLargeBlocksOutOfHeap() {
#ifdef M_MMAP_THRESHOLD
  // From this size on a block has pages of its own, which its release returns to the system.
  constexpr int kOwnPages = 1 << 20;
  mallopt(M_MMAP_THRESHOLD, kOwnPages);
#endif
}

static napi_value Init(napi_env env, napi_value exports) {
  KeepLargeBlocksOutOfHeap();
  if (!CreateEnvironment(env)) return nullptr;
#define EXPORT(name, function)                                                                      \
  {                                                                                                 \
    napi_value value;                                                                               \
    napi_create_function(env, #name, NAPI_AUTO_LENGTH, function, const_cast<char*>(#name), &value); \
    napi_set_named_property(env, exports, #name, value);                                            \
  }
  RIPSTOP_EXPORTS(EXPORT)
#undef EXPORT
  napi_value constants;
  napi_create_object(env, &constants);
#define CONSTANT(group, name, number) AddConstant(env, constants, #group, #name, static_cast<int32_t>(number));
  RIPSTOP_CONSTANTS(CONSTANT)
#undef CONSTANT
  napi_set_named_property(env, exports, "constants", constants);
  return exports;
}

}  // namespace ripstop

NAPI_MODULE_INIT() { return ripstop::Init(env, exports); }

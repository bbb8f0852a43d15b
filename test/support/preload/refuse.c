/*
 * A kernel that refuses offloads at run time, for tests: sendmmsg and sendmsg fail for messages that carry UDP_SEGMENT,
 * with the errno that REFUSE_GSO names, and writev fails with EINVAL for a virtio-net header that asks for segmentation
 * when REFUSE_TUN_GSO is set. Loaded with LD_PRELOAD; everything else reaches the kernel.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

static int wants_segments(const struct msghdr *message) {
  for (struct cmsghdr *item = CMSG_FIRSTHDR(message); item; item = CMSG_NXTHDR((struct msghdr *)message, item))
    if (item->cmsg_level == IPPROTO_UDP && item->cmsg_type == UDP_SEGMENT) return 1;
  return 0;
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags) {
  static int (*real)(int, struct mmsghdr *, unsigned int, int);
  if (!real) real = (int (*)(int, struct mmsghdr *, unsigned int, int))dlsym(RTLD_NEXT, "sendmmsg");
  const char *refuse = getenv("REFUSE_GSO");
  unsigned int good = 0;
  while (refuse && good < count && !wants_segments(&messages[good].msg_hdr)) good++;
  if (!refuse || good == count) return real(fd, messages, count, flags);
  if (good > 0) return real(fd, messages, good, flags); /* a short count, as the kernel gives before a refusal */
  errno = atoi(refuse);
  return -1;
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
  static ssize_t (*real)(int, const struct iovec *, int);
  if (!real) real = (ssize_t(*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "writev");
  if (getenv("REFUSE_TUN_GSO") && count > 0 && pieces[0].iov_len >= 12 && ((const uint8_t *)pieces[0].iov_base)[1] != 0) {
    errno = EINVAL;
    return -1;
  }
  return real(fd, pieces, count);
}

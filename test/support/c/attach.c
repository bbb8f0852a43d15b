/*
 * attach NAME FLAGS: tries to attach a queue to a TUN or TAP device (TUNSETIFF with these IFF_* bits) and prints the
 * name of the errno, or "attached" and waits for the end of its standard input.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int said(const char *what) {
  printf("%s %s\n", what, strerrorname_np(errno));
  return 1;
}

int main(int count, char **words) {
  if (count != 3) return 2;
  const int fd = open("/dev/net/tun", O_RDWR);
  if (fd < 0) return said("open");
  struct ifreq request = {0};
  strncpy(request.ifr_name, words[1], IFNAMSIZ - 1);
  request.ifr_flags = (short)strtol(words[2], NULL, 0);
  if (ioctl(fd, TUNSETIFF, &request) < 0) return said("TUNSETIFF");
  puts("attached");
  fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0) {
  }
  return 0;
}

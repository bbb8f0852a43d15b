/*
 * The plainest tunnel in C: one packet, one read, one sendto, as flannel's udp backend is described to work (a TUN
 * device, a UDP socket, both non-blocking, poll when neither has anything, the longest list of routes walked for
 * each packet). Written from that description, as a yardstick.
 *   one-call DEVICE ADDRESS PORT {SUBNET/BITS PEER}...
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include "../../tools/tool.h"

enum { MOST_ROUTES = 64, LARGEST = 65536 };

struct route {
  int version, bits;
  uint8_t prefix[16];
  struct sockaddr_storage peer;
  socklen_t length;
};

static struct route routes[MOST_ROUTES];
static int route_count;
static uint8_t packet[LARGEST];

static int open_tun(const char *name) {
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) die("/dev/net/tun");
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(fd, TUNSETIFF, &request) != 0) die("TUNSETIFF");
  return fd;
}

static void add_route(char *subnet, const char *peer, const char *port) {
  struct route *route = &routes[route_count++];
  char *slash = strchr(subnet, '/');
  if (slash == NULL || route_count == MOST_ROUTES) {
    fprintf(stderr, "\"%s\" is not a subnet, or there are more than %d\n", subnet, MOST_ROUTES - 1);
    exit(2);
  }
  *slash = 0;
  route->version = strchr(subnet, ':') != NULL ? 6 : 4;
  route->bits = (int)number(slash + 1, "BITS");
  if (inet_pton(route->version == 6 ? AF_INET6 : AF_INET, subnet, route->prefix) != 1) die(subnet);
  struct addrinfo *at = resolve(peer, port, SOCK_DGRAM);
  memcpy(&route->peer, at->ai_addr, at->ai_addrlen);
  route->length = at->ai_addrlen;
  freeaddrinfo(at);
}

static int within(const uint8_t *address, const struct route *route) {
  int bytes = route->bits / 8, rest = route->bits % 8;
  if (memcmp(address, route->prefix, (size_t)bytes) != 0) return 0;
  return rest == 0 || (address[bytes] ^ route->prefix[bytes]) >> (8 - rest) == 0;
}

/* 1 when a packet was moved, 0 when there was none. */
static int from_tun(int tun, int sock) {
  ssize_t length = read(tun, packet, sizeof packet);
  if (length < 0) return 0;
  int version = packet[0] >> 4;
  const uint8_t *destination = packet + (version == 6 ? 24 : 16);
  for (int i = 0; i < route_count; i++) {
    const struct route *route = &routes[i];
    if (route->version != version || !within(destination, route)) continue;
    /* A full socket buffer loses the packet, as it does there. */
    if (sendto(sock, packet, (size_t)length, 0, (const struct sockaddr *)&route->peer, route->length) < 0) break;
    break;
  }
  return 1;
}

static int from_socket(int tun, int sock) {
  ssize_t length = recv(sock, packet, sizeof packet, 0);
  if (length < 0) return 0;
  if (write(tun, packet, (size_t)length) < 0 && errno != EINVAL && errno != EIO && errno != EAGAIN) die("write");
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 6 || argc % 2 != 0) {
    fputs("usage: one-call DEVICE ADDRESS PORT {SUBNET/BITS PEER}...\n", stderr);
    return 2;
  }
  for (int i = 4; i + 1 < argc; i += 2) add_route(argv[i], argv[i + 1], argv[3]);
  int tun = open_tun(argv[1]), sock = serve(argv[2], argv[3], SOCK_DGRAM);
  fcntl(sock, F_SETFL, O_NONBLOCK);
  for (;;) {
    struct pollfd ready[] = {{.fd = tun, .events = POLLIN}, {.fd = sock, .events = POLLIN}};
    if (poll(ready, 2, -1) < 0 && errno != EINTR) die("poll");
    int moved;
    do moved = from_tun(tun, sock) + from_socket(tun, sock);
    while (moved > 0);
  }
}

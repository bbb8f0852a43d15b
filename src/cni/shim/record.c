/*
 * A call that no agent could take, on disk until one completes it (recorded.ts). A record is the frame of the call with
 * three further variables: when it was, in which boot, and which namespace CNI_NETNS was then. It appears whole or not
 * at all, also after a loss of power. Equal calls share one record.
 *
 * Syscalls: mkdir, open, flock, getdents, fstatat, write, fsync, rename, statfs. Capabilities: none beyond those of root's files.
 */
#define _GNU_SOURCE
#include "shim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

/* Bounds of one record, of their number and of all together, bytes. A node of 500 pods with five plugins has 2 500. */
enum { RECORD_MAX = 1 << 20, RECORDS_MAX = 4096, TOTAL_MAX = 64 << 20 };
#define SUFFIX ".call"
/* f_type of nsfs (linux/magic.h NSFS_MAGIC). */
#define NSFS 0x6e736673

static int fail(struct bytes *why, const char *what, const char *path) {
  char text[768];
  snprintf(text, sizeof text, "%s %s: %s", what, path, strerror(errno));
  append_text(why, text);
  return -1;
}

static void sync_directory(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

/* Makes the directory with its parents; only root can look into the last one. */
static int make_directory(const char *directory) {
  char path[400];
  if (strlen(directory) >= sizeof path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(path, directory);
  for (char *at = path + 1;; at++) {
    if (*at != '/' && *at != '\0') continue;
    int is_last = *at == '\0';
    *at = '\0';
    if (mkdir(path, is_last ? 0700 : 0755) == 0) {
      /* The new name is durable when its parent is. */
      char *slash = strrchr(path, '/');
      if (slash == path) sync_directory("/");
      else {
        *slash = '\0';
        sync_directory(path);
        *slash = '/';
      }
    } else if (errno != EEXIST)
      return -1;
    if (is_last) return 0;
    *at = '/';
  }
}

/* The lock that recorded.ts takes as well: writers and removers of records exclude each other. */
static int lock_directory(const char *directory, int64_t deadline) {
  char path[420];
  snprintf(path, sizeof path, "%s/lock", directory);
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
    if ((errno == EWOULDBLOCK || errno == EINTR) && now_ms() < deadline) {
      struct timespec pause = {.tv_nsec = 2000000};
      nanosleep(&pause, NULL);
      continue;
    }
    if (errno == EWOULDBLOCK) errno = ETIMEDOUT;
    close(fd);
    return -1;
  }
  return fd;
}

static int ends_with(const char *text, const char *end) {
  size_t length = strlen(text);
  return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

/* Whether the directory takes one more record of this name and size. */
static int has_room(int directory_fd, const char *name, size_t size) {
  int fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *listing = fd < 0 ? NULL : fdopendir(fd);
  if (!listing) return -1;
  size_t count = 0;
  uint64_t total = size;
  for (struct dirent *entry; (entry = readdir(listing));) {
    struct stat found;
    if (!ends_with(entry->d_name, SUFFIX) || strcmp(entry->d_name, name) == 0) continue;
    if (fstatat(directory_fd, entry->d_name, &found, AT_SYMLINK_NOFOLLOW) < 0) continue;
    count++;
    total += (uint64_t)found.st_size;
  }
  closedir(listing);
  return count < RECORDS_MAX && total <= TOTAL_MAX;
}

/* FNV-1a, 64 bits. */
static uint64_t hash(uint64_t state, const char *data, size_t length) {
  for (size_t i = 0; i < length; i++) state = (state ^ (unsigned char)data[i]) * 0x100000001b3u;
  return state;
}

static const char *variable(const char *name) {
  const char *value = getenv(name);
  return value ? value : "";
}

/*
 * Equal calls have one name: the same command of the same plugin, network, container, interface and configuration. A chain
 * may have a plugin twice, with two configurations. A later GC of a network replaces an earlier one.
 */
static void name_record(const struct call *call, char name[64]) {
  const char *const parts[] = {call->command, call->plugin, call->network, variable("CNI_CONTAINERID"),
                               variable("CNI_IFNAME")};
  uint64_t one = 0xcbf29ce484222325u, other = 0x6c62272e07bb0142u;
  for (size_t i = 0; i < (strcmp(call->command, "GC") == 0 ? 3 : 5); i++) {
    one = hash(one, parts[i], strlen(parts[i]) + 1);
    other = hash(other, parts[i], strlen(parts[i]) + 1);
  }
  if (strcmp(call->command, "DEL") == 0) {
    one = hash(one, call->input.data, call->input.length);
    other = hash(other, call->input.data, call->input.length);
  }
  snprintf(name, 64, "%s-%016llx%016llx" SUFFIX, call->command, (unsigned long long)one, (unsigned long long)other);
}

/* Device, inode and change time of the namespace, because the numbers alone are reused. "" when it is not a namespace. */
static void identify_namespace(const char *path, char *into, size_t room) {
  struct statfs file_system;
  struct stat found;
  into[0] = '\0';
  if (path[0] == '\0' || statfs(path, &file_system) < 0 || file_system.f_type != NSFS || stat(path, &found) < 0)
    return;
  snprintf(into, room, "%llu:%llu:%lld%09ld", (unsigned long long)found.st_dev, (unsigned long long)found.st_ino,
           (long long)found.st_ctim.tv_sec, (long)found.st_ctim.tv_nsec);
}

static void read_boot(char *into, size_t room) {
  int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  ssize_t count = fd < 0 ? 0 : read(fd, into, room - 1);
  if (fd >= 0) close(fd);
  into[count > 0 ? count : 0] = '\0';
  into[strcspn(into, "\n")] = '\0';
}

static void append_record(struct bytes *to, const struct call *call) {
  char when[64] = "RIPSTOP_TIME=", boot[96] = "RIPSTOP_BOOT=", netns[96] = "RIPSTOP_NETNS=";
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  snprintf(when + strlen(when), sizeof when - strlen(when), "%lld%09ld", (long long)now.tv_sec, (long)now.tv_nsec);
  read_boot(boot + strlen(boot), sizeof boot - strlen(boot));
  identify_namespace(variable("CNI_NETNS"), netns + strlen(netns), sizeof netns - strlen(netns));
  const char *const more[] = {when, boot, netns, NULL};
  append_request(to, call, more);
}

static int write_record(int directory_fd, const char *name, const struct bytes *record) {
  char draft[80];
  snprintf(draft, sizeof draft, "%s.tmp", name);
  unlinkat(directory_fd, draft, 0);
  int fd = openat(directory_fd, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  int is_written = write_whole(fd, record->data, record->length, 0) == 0 && fsync(fd) == 0;
  int fault = errno;
  close(fd);
  if (is_written && renameat(directory_fd, draft, directory_fd, name) == 0) return fsync(directory_fd);
  if (is_written) fault = errno;
  unlinkat(directory_fd, draft, 0);
  errno = fault;
  return -1;
}

/* 0 with the name of the file, or -1 with a sentence in `why`. */
int record_call(const char *directory, const struct call *call, int64_t deadline, char file[512], struct bytes *why) {
  char name[64];
  name_record(call, name);
  snprintf(file, 512, "%s/%s", directory, name);
  struct bytes record = {0};
  append_record(&record, call);
  if (record.failed || record.length > RECORD_MAX) {
    errno = record.failed ? ENOMEM : EFBIG;
    free(record.data);
    return fail(why, "record the call in", file);
  }
  umask(0);
  int result = -1;
  int directory_fd = -1;
  int lock = make_directory(directory) < 0 ? -1 : lock_directory(directory, deadline);
  if (lock >= 0) directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int room = directory_fd < 0 ? -1 : has_room(directory_fd, name, record.length);
  if (room < 0) fail(why, "record the call in", directory);
  else if (room == 0) {
    char text[600];
    snprintf(text, sizeof text, "%s is full: it holds at most %d recorded calls and %d MiB", directory, RECORDS_MAX,
             TOTAL_MAX >> 20);
    append_text(why, text);
  } else if (write_record(directory_fd, name, &record) < 0) fail(why, "record the call in", file);
  else result = 0;
  if (directory_fd >= 0) close(directory_fd);
  if (lock >= 0) close(lock);
  free(record.data);
  return result;
}

/* Removes the record of a call that an agent has completed after all. */
void forget_record(const char *file) { unlink(file); }

/*
 * As much JSON as the executable needs: two texts of the configuration, and texts of error objects. The agent reads the
 * configuration for good.
 */
#include "shim.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The end of the string that begins at `at` (behind its quote), or NULL. */
static const char *string_end(const char *at, const char *end) {
  for (; at < end; at++) {
    if (*at == '\\') at++;
    else if (*at == '"') return at;
  }
  return NULL;
}

static const char *skip_blanks(const char *at, const char *end) {
  while (at < end && memchr(" \t\r\n", *at, 4)) at++;
  return at;
}

static void take(const char *from, const char *to, char *into, size_t room) {
  size_t length = (size_t)(to - from);
  if (length >= room) length = 0;
  memcpy(into, from, length);
  into[length] = '\0';
}

static int is_key(const char *from, const char *to, const char *key) {
  return (size_t)(to - from) == strlen(key) && strncasecmp(from, key, strlen(key)) == 0;
}

/*
 * Finds `cniVersion` and `name` on the top level; "" when they are absent, no texts, or longer than their room. Keys are
 * matched in any case and the last of equal keys counts, as the plugins do it. -1 when this is not one whole object.
 */
int scan_config(const struct bytes *config, char *version, size_t version_room, char *name, size_t name_room) {
  version[0] = name[0] = '\0';
  if (config->length == 0) return -1;
  const char *end = config->data + config->length;
  const char *at = skip_blanks(config->data, end);
  if (at == end || *at != '{') return -1;
  size_t depth = 0;
  for (; at < end; at++) {
    if (*at == '{' || *at == '[') depth++;
    else if (*at == '}' || *at == ']') {
      if (--depth == 0) return skip_blanks(at + 1, end) == end && *at == '}' ? 0 : -1;
    } else if (*at == '"') {
      const char *key = at + 1;
      const char *closed = string_end(key, end);
      if (!closed) return -1;
      at = closed;
      const char *colon = skip_blanks(closed + 1, end);
      if (depth != 1 || colon == end || *colon != ':') continue;
      const char *value = skip_blanks(colon + 1, end);
      if (value == end || *value != '"') continue;
      const char *value_end = string_end(value + 1, end);
      if (!value_end) return -1;
      if (is_key(key, closed, "cniVersion")) take(value + 1, value_end, version, version_room);
      if (is_key(key, closed, "name")) take(value + 1, value_end, name, name_room);
      at = value_end;
    }
  }
  return -1;
}

/* A text in quotes. */
void append_json_text(struct bytes *to, const char *text) {
  append_text(to, "\"");
  for (; *text; text++) {
    char escaped[8];
    if (*text == '"' || *text == '\\') snprintf(escaped, sizeof escaped, "\\%c", *text);
    else if ((unsigned char)*text < 0x20) snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned char)*text);
    else snprintf(escaped, sizeof escaped, "%c", *text);
    append_text(to, escaped);
  }
  append_text(to, "\"");
}

/* Reads the fields of a message: integers and length-prefixed strings. Past the end everything is empty and `bad` is set. */
#ifndef READER_H
#define READER_H
#include "frame.h"
#include <stdlib.h>
#include <string.h>

struct reader {
  const uint8_t *at, *end;
  int bad;
};

static inline const uint8_t *take(struct reader *r, size_t n) {
  static const uint8_t zeros[8];
  if ((size_t)(r->end - r->at) < n) {
    r->bad = 1;
    r->at = r->end;
    return n <= sizeof zeros ? zeros : NULL;
  }
  const uint8_t *p = r->at;
  r->at += n;
  return p;
}
static inline uint8_t read8(struct reader *r) { return *take(r, 1); }
static inline uint32_t read32(struct reader *r) { return get32(take(r, 4)); }
static inline uint64_t read64(struct reader *r) { return get64(take(r, 8)); }
/* A copy that ends with a zero byte; never NULL. */
static inline char *read_string(struct reader *r, size_t *length) {
  uint32_t n = read32(r);
  const uint8_t *p = n <= (size_t)(r->end - r->at) ? take(r, n) : NULL;
  if (!p) { r->bad = 1; n = 0; }
  char *s = calloc(1, (size_t)n + 1);
  if (!s) abort();
  if (n) memcpy(s, p, n);
  if (length) *length = n;
  return s;
}
/* A NULL-terminated list; its strings are copies. */
static inline char **read_list(struct reader *r) {
  uint32_t n = read32(r);
  if (n > (size_t)(r->end - r->at) / 4) { r->bad = 1; n = 0; }
  char **list = calloc((size_t)n + 1, sizeof *list);
  if (!list) abort();
  for (uint32_t i = 0; i < n; i++) list[i] = read_string(r, NULL);
  return list;
}
#endif

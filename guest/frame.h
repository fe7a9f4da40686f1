/* The framing of the control channel: header of 12 bytes, little endian, then the payload. See PROTOCOL.md. */
#ifndef FRAME_H
#define FRAME_H
#include <stddef.h>
#include <stdint.h>

enum { FRAME_HEADER = 12, FRAME_MAGIC = 0x4842, FRAME_VERSION = 1, FRAME_MAX_PAYLOAD = 65536, MESSAGE_MAX = 8 << 20 };

enum frame_type {
  T_HELLO = 1, T_CONFIGURE, T_START, T_EXEC, T_STDIN, T_STDIN_END, T_RESIZE, T_SIGNAL, T_STATS, T_CLOCK, T_POWEROFF, T_CLOSE, T_ACK,
  T_CONTINUE = 64,
  T_HELLO_ACK = 129, T_OK, T_ERROR, T_STARTED, T_STDOUT, T_STDERR, T_EXIT, T_STATS_REPLY, T_STDIN_ACK,
};

struct frame {
  uint8_t type;
  uint32_t stream;
  uint32_t length;
  const uint8_t *payload;
};

struct parser {
  size_t have;
  uint8_t bytes[FRAME_HEADER + FRAME_MAX_PAYLOAD];
};

/* Takes up to `length` bytes; returns how many it used. With `*complete` set, `out` is a whole frame, valid until the next call. */
size_t parser_feed(struct parser *parser, const uint8_t *data, size_t length, struct frame *out, int *complete);
void parser_reset(struct parser *parser);
void frame_header(uint8_t header[FRAME_HEADER], uint8_t type, uint32_t stream, uint32_t length);

static inline uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static inline uint32_t get32(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }
static inline uint64_t get64(const uint8_t *p) { return get32(p) | (uint64_t)get32(p + 4) << 32; }
static inline void put32(uint8_t *p, uint32_t v) { p[0] = v; p[1] = v >> 8; p[2] = v >> 16; p[3] = v >> 24; }
static inline void put64(uint8_t *p, uint64_t v) { put32(p, (uint32_t)v); put32(p + 4, (uint32_t)(v >> 32)); }
#endif

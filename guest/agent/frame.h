/* Frames of the control channel (PROTOCOL.md): a parser that finds its way back after whatever bytes it is given. */
#ifndef FRAME_H
#define FRAME_H
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAGIC 0x4842
#define FRAME_VERSION 1
#define FRAME_HEADER_BYTES 12
#define FRAME_MAX_PAYLOAD 65536
#define FRAME_MAX_BODY (FRAME_MAX_PAYLOAD - 1)
#define FRAME_END_MARK 0x45
#define NONCE_BYTES 16

enum to_guest {
  GUEST_HELLO = 0x01, GUEST_PART, GUEST_CONFIGURE, GUEST_START, GUEST_EXEC, GUEST_STDIN, GUEST_STDIN_END,
  GUEST_RESIZE, GUEST_SIGNAL, GUEST_STATS, GUEST_CLOCK, GUEST_POWER_OFF, GUEST_WINDOW, GUEST_HANG_UP
};
enum to_host { HOST_HELLO = 0x81, HOST_OK, HOST_ERROR, HOST_STDOUT, HOST_STDERR, HOST_EXIT, HOST_WINDOW };

struct frame {
  uint8_t type;
  uint32_t stream;
  /* Without the end mark; valid until the next call of the parser. */
  const uint8_t *body;
  size_t length;
};

struct frame_parser {
  size_t have;
  uint8_t bytes[FRAME_HEADER_BYTES + FRAME_MAX_PAYLOAD];
};

/* Takes bytes from *data; 1 when a frame is complete (call again for the rest), 0 when all bytes are used up. */
int frame_parse(struct frame_parser *parser, const uint8_t **data, size_t *length, struct frame *out);

/* Writes the header of a frame whose body has `length` bytes; body and end mark follow. */
void frame_header(uint8_t *header, uint8_t type, uint32_t stream, size_t length);

#endif

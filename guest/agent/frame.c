/* Frames of the control channel: what does not look like a frame of the host is skipped, byte by byte. */
#include "frame.h"
#include <string.h>

static uint32_t read_u32(const uint8_t *at) {
  return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static int header_is_valid(const uint8_t *bytes) {
  uint32_t length = read_u32(bytes + 8);
  return bytes[0] == (FRAME_MAGIC & 0xff) && bytes[1] == FRAME_MAGIC >> 8 && bytes[2] == FRAME_VERSION &&
         bytes[3] >= GUEST_HELLO && bytes[3] <= GUEST_HANG_UP && length >= 1 && length <= FRAME_MAX_PAYLOAD;
}

/* Drops at least one byte, up to the next that may begin a header. */
static void skip_to_magic(struct frame_parser *parser) {
  const uint8_t *next = memchr(parser->bytes + 1, FRAME_MAGIC & 0xff, parser->have - 1);
  size_t dropped = next ? (size_t)(next - parser->bytes) : parser->have;
  memmove(parser->bytes, parser->bytes + dropped, parser->have - dropped);
  parser->have -= dropped;
}

int frame_parse(struct frame_parser *parser, const uint8_t **data, size_t *length, struct frame *out) {
  for (;;) {
    size_t wanted = FRAME_HEADER_BYTES;
    if (parser->have >= FRAME_HEADER_BYTES) {
      if (!header_is_valid(parser->bytes)) {
        skip_to_magic(parser);
        continue;
      }
      wanted += read_u32(parser->bytes + 8);
      if (parser->have == wanted) {
        parser->have = 0;
        /* A frame that an engine's death cut off was filled up by the next engine's padding: it is not to be obeyed. */
        if (parser->bytes[wanted - 1] != FRAME_END_MARK) continue;
        out->type = parser->bytes[3];
        out->stream = read_u32(parser->bytes + 4);
        out->body = parser->bytes + FRAME_HEADER_BYTES;
        out->length = wanted - FRAME_HEADER_BYTES - 1;
        return 1;
      }
    } else if (parser->have == 0 && *length > 0) {
      const uint8_t *next = memchr(*data, FRAME_MAGIC & 0xff, *length);
      size_t dropped = next ? (size_t)(next - *data) : *length;
      *data += dropped;
      *length -= dropped;
    }
    if (*length == 0) return 0;
    size_t part = wanted - parser->have;
    if (part > *length) part = *length;
    memcpy(parser->bytes + parser->have, *data, part);
    parser->have += part;
    *data += part;
    *length -= part;
  }
}

void frame_header(uint8_t *header, uint8_t type, uint32_t stream, size_t length) {
  uint32_t payload = (uint32_t)length + 1;
  header[0] = FRAME_MAGIC & 0xff;
  header[1] = FRAME_MAGIC >> 8;
  header[2] = FRAME_VERSION;
  header[3] = type;
  for (int i = 0; i < 4; i++) {
    header[4 + i] = (uint8_t)(stream >> (8 * i));
    header[8 + i] = (uint8_t)(payload >> (8 * i));
  }
}

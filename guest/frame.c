/* Finds whole frames in a stream of bytes. Bytes that begin no frame are skipped, so it finds its way back after anything. */
#include "frame.h"
#include <string.h>

void parser_reset(struct parser *parser) { parser->have = 0; }

static int header_is_good(const uint8_t *h) {
  return get16(h) == FRAME_MAGIC && h[2] == FRAME_VERSION && get32(h + 8) <= FRAME_MAX_PAYLOAD;
}

size_t parser_feed(struct parser *parser, const uint8_t *data, size_t length, struct frame *out, int *complete) {
  size_t used = 0;
  *complete = 0;
  while (used < length) {
    if (parser->have < FRAME_HEADER) {
      parser->bytes[parser->have++] = data[used++];
      if (parser->have < FRAME_HEADER) continue;
      if (!header_is_good(parser->bytes)) {
        /* Not a header: begin again one byte later. */
        memmove(parser->bytes, parser->bytes + 1, --parser->have);
        continue;
      }
    }
    uint32_t payload = get32(parser->bytes + 8);
    size_t want = FRAME_HEADER + (size_t)payload - parser->have;
    size_t take = want < length - used ? want : length - used;
    memcpy(parser->bytes + parser->have, data + used, take);
    parser->have += take;
    used += take;
    if (parser->have == FRAME_HEADER + (size_t)payload) {
      out->type = parser->bytes[3];
      out->stream = get32(parser->bytes + 4);
      out->length = payload;
      out->payload = parser->bytes + FRAME_HEADER;
      parser->have = 0;
      *complete = 1;
      return used;
    }
  }
  return used;
}

void frame_header(uint8_t header[FRAME_HEADER], uint8_t type, uint32_t stream, uint32_t length) {
  header[0] = FRAME_MAGIC & 0xff;
  header[1] = FRAME_MAGIC >> 8;
  header[2] = FRAME_VERSION;
  header[3] = type;
  put32(header + 4, stream);
  put32(header + 8, length);
}

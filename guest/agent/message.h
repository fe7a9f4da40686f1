/* Bodies of messages: a bounded reader over the host's bytes, and a small writer for answers. */
#ifndef MESSAGE_H
#define MESSAGE_H
#include <stddef.h>
#include <stdint.h>

/* After an overrun `bad` stays set and every value is zero or empty. */
struct reader {
  const uint8_t *at;
  size_t left;
  int bad;
};

uint8_t read_u8(struct reader *reader);
uint16_t read_u16(struct reader *reader);
uint32_t read_u32(struct reader *reader);
uint64_t read_u64(struct reader *reader);
/* A zero-terminated copy; the caller frees it. NULL only without memory or when bad. */
char *read_text(struct reader *reader);
/* A view into the message. */
const uint8_t *read_bytes(struct reader *reader, size_t *length);
/* How many items follow; never more than could fit in what is left, `item_bytes` each at least. */
uint32_t read_count(struct reader *reader, size_t item_bytes);
/* A NULL-terminated list of texts. */
char **read_texts(struct reader *reader);
void free_texts(char **texts);

struct writer {
  uint8_t *bytes;
  size_t length, capacity;
};

void write_u8(struct writer *writer, uint8_t value);
void write_u16(struct writer *writer, uint16_t value);
void write_u32(struct writer *writer, uint32_t value);
void write_u64(struct writer *writer, uint64_t value);
void write_text(struct writer *writer, const char *text);
void write_bytes(struct writer *writer, const void *bytes, size_t length);

#endif

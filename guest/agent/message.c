/* Bodies of messages: every length is checked against what is really there. */
#include "message.h"
#include <stdlib.h>
#include <string.h>

static const uint8_t *take(struct reader *reader, size_t length) {
  if (reader->bad || length > reader->left) {
    reader->bad = 1;
    return NULL;
  }
  const uint8_t *at = reader->at;
  reader->at += length;
  reader->left -= length;
  return at;
}

static uint64_t read_number(struct reader *reader, int bytes) {
  const uint8_t *at = take(reader, (size_t)bytes);
  uint64_t value = 0;
  if (at)
    for (int i = 0; i < bytes; i++) value |= (uint64_t)at[i] << (8 * i);
  return value;
}

uint8_t read_u8(struct reader *reader) { return (uint8_t)read_number(reader, 1); }
uint16_t read_u16(struct reader *reader) { return (uint16_t)read_number(reader, 2); }
uint32_t read_u32(struct reader *reader) { return (uint32_t)read_number(reader, 4); }
uint64_t read_u64(struct reader *reader) { return read_number(reader, 8); }

const uint8_t *read_bytes(struct reader *reader, size_t *length) {
  *length = read_u32(reader);
  const uint8_t *at = take(reader, *length);
  if (!at) *length = 0;
  return at;
}

char *read_text(struct reader *reader) {
  size_t length;
  const uint8_t *at = read_bytes(reader, &length);
  if (!at) return NULL;
  char *text = malloc(length + 1);
  if (!text) {
    reader->bad = 1;
    return NULL;
  }
  memcpy(text, at, length);
  text[length] = 0;
  return text;
}

uint32_t read_count(struct reader *reader, size_t item_bytes) {
  uint32_t count = read_u32(reader);
  if (count > reader->left / item_bytes) reader->bad = 1;
  return reader->bad ? 0 : count;
}

char **read_texts(struct reader *reader) {
  uint32_t count = read_count(reader, 4);
  char **texts = calloc((size_t)count + 1, sizeof *texts);
  if (!texts) {
    reader->bad = 1;
    return NULL;
  }
  for (uint32_t i = 0; i < count && !reader->bad; i++) texts[i] = read_text(reader);
  return texts;
}

void free_texts(char **texts) {
  if (!texts) return;
  for (char **text = texts; *text; text++) free(*text);
  free(texts);
}

void write_bytes(struct writer *writer, const void *bytes, size_t length) {
  if (length > writer->capacity - writer->length) return;
  memcpy(writer->bytes + writer->length, bytes, length);
  writer->length += length;
}

static void write_number(struct writer *writer, uint64_t value, int bytes) {
  uint8_t out[8];
  for (int i = 0; i < bytes; i++) out[i] = (uint8_t)(value >> (8 * i));
  write_bytes(writer, out, (size_t)bytes);
}

void write_u8(struct writer *writer, uint8_t value) { write_number(writer, value, 1); }
void write_u16(struct writer *writer, uint16_t value) { write_number(writer, value, 2); }
void write_u32(struct writer *writer, uint32_t value) { write_number(writer, value, 4); }
void write_u64(struct writer *writer, uint64_t value) { write_number(writer, value, 8); }

void write_text(struct writer *writer, const char *text) {
  write_u32(writer, (uint32_t)strlen(text));
  write_bytes(writer, text, strlen(text));
}

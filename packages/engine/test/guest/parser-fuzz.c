/* Throws random and mutated frames at the guest's parser and request readers; arguments: seconds, seed. */
#include "frame.h"
#include "request.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct frame_parser parser;
static uint64_t state;

static uint32_t next(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state >> 16);
}

static unsigned long feed(const uint8_t *bytes, size_t length, uint32_t wanted_stream) {
  unsigned long found = 0;
  while (length > 0) {
    /* In an allocation of its own size, so that a read beyond its end is seen. */
    size_t part = 1 + next() % (next() % 4 ? 64 : 70000);
    if (part > length) part = length;
    uint8_t *copy = malloc(part);
    memcpy(copy, bytes, part);
    const uint8_t *at = copy;
    size_t left = part;
    struct frame frame;
    while (frame_parse(&parser, &at, &left, &frame)) {
      if (frame.type < GUEST_HELLO || frame.type > GUEST_HANG_UP || frame.length > FRAME_MAX_BODY) abort();
      found += frame.stream == wanted_stream;
      uint8_t *body = malloc(frame.length ? frame.length : 1);
      memcpy(body, frame.body, frame.length);
      struct machine_request machine;
      struct process_request process;
      read_machine(body, frame.length, &machine);
      free_machine(&machine);
      read_process(body, frame.length, &process);
      free_process(&process);
      free(body);
    }
    free(copy);
    bytes += part;
    length -= part;
  }
  return found;
}

int main(int count, char **arguments) {
  static uint8_t bytes[200000];
  static const uint8_t zeros[FRAME_HEADER_BYTES + FRAME_MAX_PAYLOAD];
  time_t end = time(NULL) + (count > 1 ? atoi(arguments[1]) : 5);
  state = count > 2 ? strtoull(arguments[2], NULL, 10) | 1 : 1;
  unsigned long rounds = 0;
  for (; time(NULL) < end; rounds++) {
    size_t used = 0;
    while (used < 100000 && next() % 8) {
      size_t body = next() % (next() % 16 ? 300 : FRAME_MAX_BODY);
      frame_header(bytes + used, (uint8_t)(next() % 16), next(), body);
      /* Small numbers are likely counts and lengths, which lead deep into the readers. */
      for (size_t i = 0; i < body; i++) bytes[used + FRAME_HEADER_BYTES + i] = next() % 3 ? 0 : (uint8_t)(next() % (next() % 8 ? 6 : 256));
      bytes[used + FRAME_HEADER_BYTES + body] = next() % 8 ? FRAME_END_MARK : 0;
      used += FRAME_HEADER_BYTES + body + 1;
    }
    for (uint32_t i = next() % 20; i-- > 0 && used > 0;) bytes[next() % used] = (uint8_t)next();
    feed(bytes, used ? next() % used : 0, 0xffffffff);
    /* Whatever came before, after the padding a hello is understood. */
    uint8_t hello[FRAME_HEADER_BYTES + NONCE_BYTES + 1] = { 0 };
    frame_header(hello, GUEST_HELLO, 0xfeedf00d, NONCE_BYTES);
    hello[sizeof hello - 1] = FRAME_END_MARK;
    feed(zeros, sizeof zeros, 0xffffffff);
    if (feed(hello, sizeof hello, 0xfeedf00d) != 1) {
      puts("lost a hello");
      return 1;
    }
  }
  printf("%lu rounds\n", rounds);
  return 0;
}

#include "command-line.h"
#include "start-info.h"

const char *option_text(const char *key, unsigned *length) {
  const char *at = command_line();
  while (*at) {
    while (*at == ' ') at++;
    const char *k = key;
    while (*k && *at == *k) at++, k++;
    if (!*k && *at == '=') {
      const char *value = ++at;
      while (*at && *at != ' ') at++;
      *length = (unsigned)(at - value);
      return value;
    }
    while (*at && *at != ' ') at++;
  }
  return 0;
}

int option_is(const char *key, const char *value) {
  unsigned length;
  const char *text = option_text(key, &length);
  if (!text) return 0;
  for (unsigned i = 0; i < length; i++)
    if (value[i] != text[i]) return 0;
  return !value[length];
}

uint64_t option_number(const char *key, uint64_t otherwise) {
  unsigned length;
  const char *text = option_text(key, &length);
  uint64_t number = 0;
  if (!text || !length) return otherwise;
  for (unsigned i = 0; i < length; i++) {
    if (text[i] < '0' || text[i] > '9') return otherwise;
    number = number * 10 + (uint64_t)(text[i] - '0');
  }
  return number;
}

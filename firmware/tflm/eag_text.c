#include "eag_text.h"

#include <stdbool.h>

char *eag_text_add(char *at, char *end, const char *text) {
  while (at + 1 < end && *text) *at++ = *text++;
  *at = 0;
  return at;
}

static char *add_digits(char *at, char *end, uint32_t number, uint32_t base) {
  char digits[11];
  char *first = digits + sizeof digits - 1;
  *first = 0;
  do {
    *--first = "0123456789abcdef"[number % base];
  } while (number /= base);
  return eag_text_add(at, end, first);
}

char *eag_text_add_number(char *at, char *end, uint32_t number) {
  return add_digits(at, end, number, 10);
}

static bool in(char letter, const char *letters) {
  while (*letters && *letters != letter) letters++;
  return *letters != 0;
}

int eag_text_format(char *out, uint32_t size, const char *format, va_list arguments) {
  char *at = out, *const end = out + size;
  if (size) *at = 0;
  for (; *format; format++) {
    char letter[2] = {*format, 0};
    if (*format != '%') {
      at = eag_text_add(at, end, letter);
      continue;
    }
    uint32_t longs = 0;
    while (format[1] && in(format[1], "0123456789+-# .lhzjt")) longs += *++format == 'l';
    if (!format[1]) break;
    letter[0] = *++format;
    if (in(letter[0], "diux") && longs > 1) {
      (void)va_arg(arguments, uint64_t);
      at = eag_text_add(at, end, "?");
    } else if (in(letter[0], "di")) {
      int32_t number = va_arg(arguments, int32_t);
      if (number < 0) at = eag_text_add(at, end, "-");
      at = add_digits(at, end, number < 0 ? 0u - (uint32_t)number : (uint32_t)number, 10);
    } else if (in(letter[0], "uxp")) {
      at = add_digits(at, end, va_arg(arguments, uint32_t), letter[0] == 'u' ? 10 : 16);
    } else if (letter[0] == 's') {
      const char *text = va_arg(arguments, const char *);
      at = eag_text_add(at, end, text ? text : "(null)");
    } else if (letter[0] == 'c') {
      letter[0] = (char)va_arg(arguments, int);
      at = eag_text_add(at, end, letter);
    } else if (in(letter[0], "fFeEgG")) {
      (void)va_arg(arguments, double);
      at = eag_text_add(at, end, "?");
    } else {
      at = eag_text_add(at, end, letter);
    }
  }
  return (int)(at - out);
}
